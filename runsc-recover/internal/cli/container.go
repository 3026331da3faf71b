package cli

import (
	"context"
	"errors"
	"time"

	"runsc-recover/oci/errdefs"
	"runsc-recover/oci/statedir"
	"runsc-recover/runsc-recover/internal/api"
)

// callTime bounds a command's conversation with a supervisor: longer than a
// recovery takes, so that commands given during one wait for its end.
const callTime = 150 * time.Second

// container is one that exists, as a command sees it.
type container struct {
	dir    statedir.Dir
	state  *statedir.State
	client *api.Client
}

// openContainer finds a container. Errors: oci.ErrInvalidID, oci.ErrNotExist.
func openContainer(root, id string) (*container, error) {
	dir, err := statedir.FindDir(root, id)
	if err != nil {
		return nil, err
	}
	state, err := statedir.LoadState(dir)
	if err != nil {
		return nil, err
	}
	return &container{dir: dir, state: state, client: api.NewClient(dir.ControlSocket())}, nil
}

// openLive finds a container whose supervisor can be asked. Errors: those of
// openContainer, oci.ErrNotRunning.
func openLive(root, id string) (*container, error) {
	c, err := openContainer(root, id)
	if err != nil {
		return nil, err
	}
	if c.state.CurrentStatus() == statedir.StatusStopped {
		return nil, errdefs.ErrNotRunning
	}
	return c, nil
}

// call bounds f. Errors: those of asStopped.
func call(ctx context.Context, f func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	return asStopped(f(ctx))
}

// asStopped turns the death of the supervisor into oci.ErrNotRunning: that is
// what a container without one is.
func asStopped(err error) error {
	if errdefs.CodeOf(err) == errdefs.CodeSupervisorGone {
		return errdefs.ErrNotRunning
	}
	return err
}

// ask is call for a method that returns something.
func ask[T any](ctx context.Context, f func(ctx context.Context) (T, error)) (v T, err error) {
	err = call(ctx, func(ctx context.Context) error {
		v, err = f(ctx)
		return err
	})
	return v, err
}

// isStopped reports whether err says that the container isn't running.
func isStopped(err error) bool { return errors.Is(err, errdefs.ErrNotRunning) }
