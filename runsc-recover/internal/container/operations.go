package container

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/checkpoint"
	"runsc-recover/oci/errdefs"
	"runsc-recover/oci/statedir"
	"runsc-recover/runsc-recover/internal/api"
)

// The operations of a container that runs. Errors of all: ErrNotRunning, and
// those of the supervisor.

// Signal sends a signal. Signal 0 only asks whether the container runs.
func (c *Container) Signal(ctx context.Context, r api.SignalRequest) error {
	return c.call(ctx, func(ctx context.Context) error {
		if r.Signal == 0 {
			return nil
		}
		return c.client.Signal(ctx, r)
	})
}

// Pause stops the container's processes where they are.
func (c *Container) Pause(ctx context.Context) error {
	return c.call(ctx, c.client.Pause)
}

// Resume lets the processes of a paused container run on.
func (c *Container) Resume(ctx context.Context) error {
	return c.call(ctx, c.client.Resume)
}

// Fail makes the container fail as if its program had reported an error.
func (c *Container) Fail(ctx context.Context, r api.FailRequest) error {
	return c.call(ctx, func(ctx context.Context) error { return c.client.Fail(ctx, r) })
}

// Update changes the limits of the container's cgroup that r names.
func (c *Container) Update(ctx context.Context, r specs.LinuxResources) error {
	return c.call(ctx, func(ctx context.Context) error { return c.client.Update(ctx, r) })
}

// Stats reads the container's resource use.
func (c *Container) Stats(ctx context.Context) (api.Stats, error) {
	return ask(ctx, c, c.client.Stats)
}

// Processes lists the processes in the container.
func (c *Container) Processes(ctx context.Context) ([]api.Process, error) {
	return ask(ctx, c, c.client.Processes)
}

// Generation says where the container's sandbox is found.
func (c *Container) Generation(ctx context.Context) (api.Generation, error) {
	return ask(ctx, c, c.client.Generation)
}

// CheckExec refuses a container that one more process can't be run in.
func (c *Container) CheckExec(ignorePaused bool) error {
	switch s := c.Status(); {
	case s == statedir.StatusStopped:
		return errdefs.Errorf(errdefs.CodeNotRunning, "cannot exec in a stopped container")
	case s == statedir.StatusPaused && !ignorePaused:
		return errdefs.Errorf(errdefs.CodePaused, "cannot exec in a paused container (use --ignore-paused to override)")
	}
	return nil
}

// CheckCheckpoint refuses a container whose program hasn't begun, or is over.
func (c *Container) CheckCheckpoint() error {
	if s := c.Status(); s == statedir.StatusCreated || s == statedir.StatusStopped {
		return errdefs.Errorf(errdefs.CodeNotRunning, "container cannot be checkpointed in %s state", s)
	}
	return nil
}

// Checkpoint takes a checkpoint into the container's store.
func (c *Container) Checkpoint(ctx context.Context) (checkpoint.Manifest, error) {
	return ask(ctx, c, c.client.Checkpoint)
}

// criuInventory is the file by which podman knows a complete image: CRIU's.
const criuInventory = "inventory.img"

// SaveImage writes the container into a directory, which is made if need be,
// and marks the image as complete for engines that look for CRIU's files.
// Unless LeaveRunning is set the container is over then. An image is as large
// as the program's memory, so only ctx bounds its writing.
func (c *Container) SaveImage(ctx context.Context, r api.SaveImageRequest) error {
	if err := os.MkdirAll(r.ImagePath, 0o700); err != nil {
		return fmt.Errorf("make image directory: %w", err)
	}
	if err := c.client.SaveImage(ctx, r); err != nil {
		return asStopped(err)
	}
	if err := os.WriteFile(filepath.Join(r.ImagePath, criuInventory), nil, 0o600); err != nil {
		return fmt.Errorf("mark image as complete: %w", err)
	}
	return nil
}

// StatusUnknown is the exit status of a container whose supervisor was killed:
// no better one is known than that of a process killed with SIGKILL.
const StatusUnknown = 128 + 9

// Wait returns how the container ended, once it has. Only ctx bounds it.
func (c *Container) Wait(ctx context.Context) (api.ExitStatus, error) {
	exit, err := c.client.Wait(ctx)
	if errdefs.CodeOf(err) != errdefs.CodeSupervisorGone {
		return exit, err
	}
	// The container may have ended after its state was read.
	state, err := statedir.LoadState(c.dir)
	if err != nil {
		return api.ExitStatus{}, err
	}
	if state.Exit == nil {
		return api.ExitStatus{Status: StatusUnknown}, nil
	}
	return api.ExitStatus{Status: state.Exit.Status, At: state.Exit.At}, nil
}

// Reap waits for the supervisor, whose status is the container's.
//
// Preconditions: the supervisor is this process's child.
func (c *Container) Reap() (*os.ProcessState, error) {
	child, err := os.FindProcess(c.state.Supervisor.Pid)
	if err != nil {
		return nil, fmt.Errorf("find supervisor: %w", err)
	}
	state, err := child.Wait()
	if err != nil {
		return nil, fmt.Errorf("wait for supervisor: %w", err)
	}
	return state, nil
}
