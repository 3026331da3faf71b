// Package container is a container as a command sees it: live by its
// supervisor's API, stopped by its store, and made and removed under its lock.
// A container's state is read when it is opened; the supervisor alone knows
// better.
//
// It must not know a command's options or output.
//
// Locks: creation, deletion and the use of a stopped container's store hold the
// container's lock (statedir.Lock), and nothing else. Goroutines: that of a
// Start which doesn't detach, until the program is ready or over.
package container

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"runsc-recover/oci"
	"runsc-recover/oci/errdefs"
	"runsc-recover/oci/statedir"
	"runsc-recover/runsc-recover/internal/api"
	"runsc-recover/runsc-recover/internal/episode"
	"runsc-recover/runsc-recover/internal/host/cgroup"
)

// callTime bounds a command's conversation with a supervisor: longer than a
// recovery takes, so that commands given during one wait for its end.
const callTime = 150 * time.Second

// Root is the containers below one directory, as one build of the program sees
// them. It is immutable.
type Root struct {
	Dir           string // absolute
	GVisorVersion string // whose checkpoints can be read
	Log           *slog.Logger
}

// Container is a container that exists, as it was when it was opened.
type Container struct {
	root   *Root
	dir    statedir.Dir
	state  *statedir.State
	client *api.Client
}

// IDs lists the containers by name, those half-way created or deleted among
// them.
func (r *Root) IDs() ([]string, error) {
	dirs, err := statedir.ListDirs(r.Dir)
	var ids []string
	for _, d := range dirs {
		ids = append(ids, d.ID())
	}
	return ids, err
}

// Open finds a container. Errors: errdefs.ErrInvalidID, errdefs.ErrNotExist.
func (r *Root) Open(id string) (*Container, error) {
	dir, err := statedir.FindDir(r.Dir, id)
	if err != nil {
		return nil, err
	}
	state, err := statedir.LoadState(dir)
	if err != nil {
		return nil, err
	}
	return &Container{root: r, dir: dir, state: state, client: api.NewClient(dir.ControlSocket())}, nil
}

// State is the container's state file. The caller must not change it.
func (c *Container) State() *statedir.State { return c.state }

// Status is the status as far as it can be told without the supervisor.
func (c *Container) Status() statedir.Status { return c.state.CurrentStatus() }

// ConfigFile is the config.json of the container's bundle.
func (c *Container) ConfigFile() string { return filepath.Join(c.state.Bundle, oci.ConfigFile) }

// Episodes reads the records of the container's failures. The supervisor keeps
// them beside its state, so that they can be read whether or not it is alive.
func (c *Container) Episodes() ([]api.Episode, error) { return episode.Load(c.dir.EpisodesFile()) }

// ControlSocket is the supervisor's.
func (c *Container) ControlSocket() string { return c.dir.ControlSocket() }

// OOMKills counts the processes of the container that the kernel has killed for
// want of memory, also after the container's end.
func (c *Container) OOMKills() uint64 { return cgroup.ReadLimitHits(c.state.CgroupPaths).OOMKills }

// HostPIDs are the host's processes that the container consists of: its
// supervisor, sandboxes and gofers. A stopped container has none.
func (c *Container) HostPIDs() []int {
	if c.Status() == statedir.StatusStopped {
		return nil
	}
	pids := []int{c.state.Supervisor.Pid}
	for _, g := range c.state.Sandboxes {
		for _, p := range g.Processes {
			if p.Alive() && !slices.Contains(pids, p.Pid) {
				pids = append(pids, p.Pid)
			}
		}
	}
	return pids
}

// IsStopped reports whether err says that the container isn't running.
func IsStopped(err error) bool { return errors.Is(err, errdefs.ErrNotRunning) }

// call has f ask the supervisor within callTime. Errors: ErrNotRunning, also for
// a supervisor that is gone: a container without one is stopped.
func (c *Container) call(ctx context.Context, f func(context.Context) error) error {
	if c.Status() == statedir.StatusStopped {
		return errdefs.ErrNotRunning
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	return asStopped(f(ctx))
}

func asStopped(err error) error {
	if errdefs.CodeOf(err) == errdefs.CodeSupervisorGone {
		return errdefs.ErrNotRunning
	}
	return err
}

// ask is call for an operation with a result.
func ask[T any](ctx context.Context, c *Container, f func(context.Context) (T, error)) (v T, err error) {
	err = c.call(ctx, func(ctx context.Context) error {
		v, err = f(ctx)
		return err
	})
	return v, err
}
