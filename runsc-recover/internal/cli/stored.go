package cli

import (
	"context"
	"errors"
	"slices"

	"runsc-recover/checkpoint"
	"runsc-recover/oci/statedir"
	"runsc-recover/runsc-recover/internal/api"
)

// keeper looks after the checkpoints of a container: its supervisor, or the
// store itself when there is none.
type keeper interface {
	Checkpoints(ctx context.Context) ([]api.CheckpointEntry, error)
	VerifyCheckpoint(ctx context.Context, seq checkpoint.Seq) error
	RemoveCheckpoint(ctx context.Context, seq checkpoint.Seq) error
}

// withKeeper calls f with the container's keeper.
func (p *program) withKeeper(ctx context.Context, id string, f func(context.Context, keeper) error) error {
	ct, err := openContainer(p.globals.Root, id)
	if err != nil {
		return err
	}
	if ct.state.CurrentStatus() != statedir.StatusStopped {
		err = call(ctx, func(ctx context.Context) error { return f(ctx, ct.client) })
		if !isStopped(err) {
			return err
		}
	}
	lock, err := ct.dir.Lock() // nobody deletes it or brings it back meanwhile
	if err != nil {
		return err
	}
	defer lock.Unlock()
	s, err := OpenStore(ct.dir, ct.state.Policy, p.GVisorVersion)
	if err != nil {
		return api.Classify(err)
	}
	err = f(ctx, stored{s})
	if err = errors.Join(err, s.Close()); err != nil {
		return api.Classify(err)
	}
	return nil
}

// stored is the keeper of a container that is stopped.
type stored struct{ store checkpoint.Store }

// Checkpoints implements keeper.
func (s stored) Checkpoints(ctx context.Context) ([]api.CheckpointEntry, error) {
	good, bad, err := s.store.List(ctx)
	if err != nil {
		return nil, err
	}
	var out []api.CheckpointEntry
	for _, m := range good {
		out = append(out, api.CheckpointEntry{Manifest: m})
	}
	for seq, err := range bad {
		out = append(out, api.CheckpointEntry{Manifest: checkpoint.Manifest{Seq: seq}, Error: err.Error()})
	}
	slices.SortFunc(out, func(a, b api.CheckpointEntry) int { return int(a.Seq) - int(b.Seq) })
	return out, nil
}

// VerifyCheckpoint implements keeper.
func (s stored) VerifyCheckpoint(ctx context.Context, seq checkpoint.Seq) error {
	return s.store.Verify(ctx, seq)
}

// RemoveCheckpoint implements keeper.
func (s stored) RemoveCheckpoint(ctx context.Context, seq checkpoint.Seq) error {
	return s.store.Remove(ctx, seq)
}
