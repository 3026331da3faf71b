package container

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"runsc-recover/oci"
	"runsc-recover/oci/errdefs"
	"runsc-recover/oci/statedir"
	"runsc-recover/runsc-recover/internal/api"
	"runsc-recover/runsc-recover/internal/cleanup"
)

const (
	// shutdownTime is how long a supervisor may take to end its container
	// before it is killed.
	shutdownTime = 20 * time.Second
	// deathTime is how long a killed process may take to be gone.
	deathTime = 10 * time.Second
)

// Delete removes a stopped container, or one that was never started, and all
// that it or a supervisor that was killed has left. With force a container that
// runs is ended first, and one that doesn't exist is no error.
func (r *Root) Delete(ctx context.Context, id string, force bool) error {
	err := r.deleteLocked(ctx, id, force)
	if force && errors.Is(err, errdefs.ErrNotExist) {
		return nil
	}
	return err
}

func (r *Root) deleteLocked(ctx context.Context, id string, force bool) error {
	dir, err := statedir.FindDir(r.Dir, id)
	if err != nil {
		return err
	}
	lock, err := dir.Lock()
	if err != nil {
		return err
	}
	defer lock.Unlock()
	state, err := statedir.LoadState(dir)
	if errors.Is(err, errdefs.ErrNotExist) {
		// A creation that was killed half-way: nobody else has the lock.
		return errors.Join(err, cleanup.Cleanup(dir, nil))
	}
	if err != nil && force {
		r.Log.Warn(err.Error())
		return cleanup.Cleanup(dir, nil)
	}
	if err != nil {
		return err
	}
	if err := checkDelete(state, force); err != nil {
		return err
	}
	return r.remove(ctx, dir, state)
}

// checkDelete refuses a container that runs. One that was created is deleted
// as runc does.
func checkDelete(s *statedir.State, force bool) error {
	status := s.CurrentStatus()
	if force || status == statedir.StatusStopped || status == statedir.StatusCreated {
		return nil
	}
	return &errdefs.Error{
		Code:    errdefs.CodeRunning,
		Message: fmt.Sprintf("cannot delete container %s that is not stopped: %s", s.ID, status),
		Next:    "kill it, or use --force",
	}
}

// remove ends the container, if need be, and removes it. The poststop hooks
// run last, as the container is gone for good then.
func (r *Root) remove(ctx context.Context, dir statedir.Dir, state *statedir.State) error {
	if state.Supervisor.Alive() && state.Status != statedir.StatusStopped {
		shutDown(ctx, dir, state)
	}
	if err := endSupervisor(state); err != nil {
		return err
	}
	// The supervisor may have added to it at its end.
	if last, err := statedir.LoadState(dir); err == nil {
		state = last
	}
	if err := cleanup.Cleanup(dir, state); err != nil {
		return err
	}
	if state.Hooks == nil {
		return nil
	}
	if err := oci.RunAllHooks(ctx, "poststop", state.Hooks.Poststop, state.Spec(statedir.StatusStopped)); err != nil {
		r.Log.Warn(err.Error())
	}
	return nil
}

// shutDown asks the supervisor to end, and waits until it has or its time is
// over.
func shutDown(ctx context.Context, dir statedir.Dir, state *statedir.State) {
	ctx, cancel := context.WithTimeout(ctx, shutdownTime)
	defer cancel()
	// However that ends, endSupervisor makes sure.
	if api.NewClient(dir.ControlSocket()).Shutdown(ctx) == nil {
		_ = state.Supervisor.Wait(ctx)
	}
}

// endSupervisor waits for a supervisor that is about to exit, and kills one
// that isn't. State may be nil.
func endSupervisor(state *statedir.State) error {
	if state == nil {
		return nil
	}
	sup := state.Supervisor
	ctx, cancel := context.WithTimeout(context.Background(), deathTime)
	defer cancel()
	if state.Status == statedir.StatusStopped && sup.Wait(ctx) == nil {
		return nil
	}
	if err := sup.Signal(unix.SIGKILL); err != nil && !errors.Is(err, statedir.ErrNoProcess) {
		return fmt.Errorf("kill supervisor: %w", err)
	}
	ctx, cancel = context.WithTimeout(context.Background(), deathTime)
	defer cancel()
	if err := sup.Wait(ctx); err != nil {
		return fmt.Errorf("kill supervisor: %w", err)
	}
	return nil
}
