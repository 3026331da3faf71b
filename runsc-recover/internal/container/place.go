package container

import (
	"errors"
	"fmt"

	"runsc-recover/checkpoint/config"
	"runsc-recover/oci"
	"runsc-recover/oci/errdefs"
	"runsc-recover/oci/statedir"
	"runsc-recover/runsc-recover/internal/cleanup"
	"runsc-recover/runsc-recover/internal/host/cgroup"
)

// place is where a container is made: a new state directory, or that of a
// stopped container which is brought back from its store.
type place struct {
	root   *Root
	id     string
	bundle string
	dir    statedir.Dir
	lock   *statedir.Lock
	// before is the state of the container that is brought back; nil for none.
	before *statedir.State
	// store is set when the container goes on from checkpoints that may lie
	// outside the state directory: a failed creation must not remove them.
	store bool
}

// findPlace looks for the container that is to be brought back, if the options
// ask for that. Unless another is named it keeps its bundle.
func (r *Root) findPlace(o CreateOptions) (*place, error) {
	fromStore, id := o.Supervisor.FromStore, o.Supervisor.ID
	pl := &place{root: r, id: id, bundle: o.Bundle, store: fromStore}
	if !fromStore {
		return pl, nil
	}
	dir, err := statedir.FindDir(r.Dir, id)
	if errors.Is(err, errdefs.ErrNotExist) {
		return pl, nil
	}
	if err != nil {
		return nil, err
	}
	if pl.lock, err = dir.Lock(); err != nil {
		return nil, err
	}
	pl.dir = dir
	if pl.before, err = statedir.LoadState(dir); err == nil {
		err = checkStopped(pl.before)
	}
	if err != nil {
		pl.unlock()
		return nil, err
	}
	if pl.bundle == "" {
		pl.bundle = pl.before.Bundle
	}
	return pl, nil
}

func checkStopped(s *statedir.State) error {
	if status := s.CurrentStatus(); status != statedir.StatusStopped {
		return &errdefs.Error{Code: errdefs.CodeRunning, Message: fmt.Sprintf("container %s is %s", s.ID, status),
			Next: "only one that has stopped can be brought back"}
	}
	return nil
}

// recoverConfig returns the recovery configuration, which a container that is
// brought back keeps.
func (pl *place) recoverConfig(bundle *oci.Bundle, defaults map[string]string) (config.Config, error) {
	if pl.before != nil {
		return pl.before.Policy, checkDurable(pl.before.Policy)
	}
	config, err := config.FromAnnotations(bundle.Spec.Annotations, defaults)
	if err != nil {
		return config, errdefs.Errorf(errdefs.CodeAnnotation, "read recovery configuration: %w", err)
	}
	if !pl.store {
		return config, nil
	}
	if err := checkDurable(config); err != nil {
		return config, err
	}
	if dir := statedir.ContainerDir(pl.root.Dir, pl.id); config.Store == "" || !hasStore(dir, config) {
		return config, errdefs.ErrNotExist // nor its checkpoints
	}
	return config, nil
}

func checkDurable(c config.Config) error {
	if c.Durability == config.DurabilityDisk && c.Enabled {
		return nil
	}
	return &errdefs.Error{Code: errdefs.CodeCheckpointMissing, Message: "the container's checkpoints are not kept on disk",
		Next: "dev.runsc-recover.durability has to be disk before it runs"}
}

// take makes the place ready for a supervisor.
func (pl *place) take() (err error) {
	if pl.before != nil {
		if err := endSupervisor(pl.before); err != nil {
			return err
		}
		return cleanup.Reset(pl.dir, pl.before)
	}
	pl.dir, pl.lock, err = statedir.MakeDir(pl.root.Dir, pl.id)
	return err
}

// leave removes the remains of a creation that failed, and returns the reason
// for the failure. A container that was to be brought back is as it was before.
func (pl *place) leave(why error) error {
	state, err := statedir.LoadState(pl.dir)
	if err != nil {
		state = nil // the creation got no further
	} else {
		why = cgroup.ReadLimitHits(state.CgroupPaths).Explain(why)
	}
	if err := endSupervisor(state); err != nil {
		return errors.Join(why, err)
	}
	if pl.before != nil {
		if state == nil {
			state = pl.before
		}
		return errors.Join(why, cleanup.Reset(pl.dir, state), pl.before.Save(pl.dir))
	}
	if state != nil && pl.store {
		state.Policy.Store = ""
	}
	return errors.Join(why, cleanup.Cleanup(pl.dir, state))
}

func (pl *place) unlock() {
	if pl.lock != nil {
		pl.lock.Unlock()
	}
}
