package container

import (
	"context"
	"errors"
	"os"
	"runtime"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/config"
	"runsc-recover/checkpoint/store"
	"runsc-recover/oci/errdefs"
	"runsc-recover/oci/statedir"
	"runsc-recover/runsc-recover/internal/api"
)

// Checkpoints lists the container's checkpoints, the oldest first.
func (c *Container) Checkpoints(ctx context.Context) (all []api.CheckpointEntry, err error) {
	err = c.withKeeper(ctx, func(ctx context.Context, k keeper) error {
		all, err = k.Checkpoints(ctx)
		return err
	})
	return all, err
}

// VerifyCheckpoint reads a checkpoint in full and compares its hashes.
func (c *Container) VerifyCheckpoint(ctx context.Context, seq checkpoint.Seq) error {
	return c.withKeeper(ctx, func(ctx context.Context, k keeper) error { return k.VerifyCheckpoint(ctx, seq) })
}

// RemoveCheckpoint deletes a checkpoint.
func (c *Container) RemoveCheckpoint(ctx context.Context, seq checkpoint.Seq) error {
	return c.withKeeper(ctx, func(ctx context.Context, k keeper) error { return k.RemoveCheckpoint(ctx, seq) })
}

// keeper looks after the checkpoints of a container: its supervisor, or the
// store itself when there is none.
type keeper interface {
	Checkpoints(ctx context.Context) ([]api.CheckpointEntry, error)
	VerifyCheckpoint(ctx context.Context, seq checkpoint.Seq) error
	RemoveCheckpoint(ctx context.Context, seq checkpoint.Seq) error
}

// withKeeper calls f with the container's keeper, perhaps twice: with its
// supervisor, and when that is gone with its store.
func (c *Container) withKeeper(ctx context.Context, f func(context.Context, keeper) error) error {
	err := c.call(ctx, func(ctx context.Context) error { return f(ctx, c.client) })
	if !IsStopped(err) {
		return err
	}
	lock, err := c.dir.Lock() // nobody deletes the container or brings it back meanwhile
	if err != nil {
		return err
	}
	defer lock.Unlock()
	s, err := openStore(c.dir, c.state.Policy, c.root.GVisorVersion)
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
	return api.EntriesOf(good, bad, nil), nil
}

// VerifyCheckpoint implements keeper.
func (s stored) VerifyCheckpoint(ctx context.Context, seq checkpoint.Seq) error {
	return s.store.Verify(ctx, seq)
}

// RemoveCheckpoint implements keeper.
func (s stored) RemoveCheckpoint(ctx context.Context, seq checkpoint.Seq) error {
	return s.store.Remove(ctx, seq)
}

// hasStore reports whether there is a store of a container's checkpoints.
func hasStore(dir statedir.Dir, c config.Config) bool {
	_, err := os.Stat(statedir.StorePath(dir, c))
	return err == nil
}

// openStore opens the checkpoints on disk of a container that has no
// supervisor. Errors: errdefs.ErrNotRunning when they were in memory and are
// gone, checkpoint.ErrNotFound when there is no store.
//
// Preconditions: the caller holds the container's lock.
func openStore(dir statedir.Dir, c config.Config, gvisorVersion string) (checkpoint.Store, error) {
	if c.Durability != config.DurabilityDisk {
		return nil, errdefs.ErrNotRunning
	}
	if !hasStore(dir, c) {
		return nil, checkpoint.ErrNotFound
	}
	return store.OpenDisk(statedir.StorePath(dir, c), store.Options{GVisorVersion: gvisorVersion, Arch: runtime.GOARCH, ContainerID: dir.ID()})
}
