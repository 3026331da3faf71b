package container

import (
	"context"
	"os"

	"runsc-recover/oci/errdefs"
	"runsc-recover/oci/statedir"
	"runsc-recover/runsc-recover/internal/host/cgroup"
)

// CheckStart refuses a container that isn't waiting to be started.
func (c *Container) CheckStart() error {
	switch s := c.Status(); s {
	case statedir.StatusCreated:
		return nil
	case statedir.StatusStopped:
		return errdefs.Errorf(errdefs.CodeNotCreated, "cannot start a container that has stopped")
	case statedir.StatusRunning:
		return errdefs.Errorf(errdefs.CodeNotCreated, "cannot start an already running container")
	default:
		return errdefs.Errorf(errdefs.CodeNotCreated, "cannot start a container in the %s state", s)
	}
}

// StartOptions say how to start a container.
type StartOptions struct {
	// Manager is the socket of the service manager that waits for the program
	// to be ready; empty when none does.
	Manager string
	// Detach makes Start return when the program is ready, or over. Otherwise
	// the manager is told of this process, as the service's main one, and Start
	// returns before.
	Detach bool
}

// Start runs the program of a created container.
func (c *Container) Start(ctx context.Context, o StartOptions) error {
	n, err := c.notifier(o.Manager)
	if err != nil {
		return err
	}
	err = c.start(ctx)
	switch {
	case n == nil:
		return err
	case err != nil:
		n.in.Close()
		return err
	case o.Detach:
		return n.relay(ctx, c.state.Supervisor, c.state.Supervisor.Pid)
	}
	go func() {
		if err := n.relay(ctx, c.state.Supervisor, os.Getpid()); err != nil {
			c.root.Log.Warn(err.Error())
		}
	}()
	return nil
}

// start runs the program. An error names limits of the container that were hit,
// since they may be too small for it.
func (c *Container) start(ctx context.Context) error {
	err := c.call(ctx, c.client.Start)
	return cgroup.ReadLimitHits(c.state.CgroupPaths).Explain(err)
}
