package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"runsc-recover/oci"
	"runsc-recover/oci/errdefs"
	"runsc-recover/oci/statedir"
	"runsc-recover/runsc-recover/internal/api"
	"runsc-recover/runsc-recover/internal/cleanup"
	"runsc-recover/runsc-recover/internal/cli/flags"
)

const (
	// shutdownTime is how long a supervisor may take to end its container
	// before it is killed.
	shutdownTime = 20 * time.Second
	// deathTime is how long a killed process may take to be gone.
	deathTime = 10 * time.Second
)

func (p *program) deleteCommand() *cli.Command {
	return &cli.Command{
		Name:      "delete",
		Usage:     "remove a container and all that it left",
		ArgsUsage: "<container-id>",
		Description: `Removes a stopped container, or one that was never started: its state, checkpoints,
records and cgroup. It also removes what a supervisor that was killed has left
behind. A container that runs is refused unless --force is given. With --force a
container that doesn't exist is no error.

EXAMPLES:
   # runsc-recover delete web
   # runsc-recover delete --force web` + exitHelp,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "kill the container first, with SIGKILL"},
		},
		BashComplete: p.completeIDs,
		Action: func(c *cli.Context) error {
			if err := flags.NeedArgs(c, 1, 1); err != nil {
				return err
			}
			return p.delete(c.Context, deleteOptions{id: c.Args().First(), force: c.Bool("force")})
		},
	}
}

type deleteOptions struct {
	id    string
	force bool
}

func (p *program) delete(ctx context.Context, o deleteOptions) error {
	err := p.deleteLocked(ctx, o)
	if o.force && errors.Is(err, errdefs.ErrNotExist) {
		return nil
	}
	return err
}

func (p *program) deleteLocked(ctx context.Context, o deleteOptions) error {
	dir, err := statedir.FindDir(p.globals.Root, o.id)
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
	if err != nil && o.force {
		p.warn("%v", err)
		return cleanup.Cleanup(dir, nil)
	}
	if err != nil {
		return err
	}
	if err := checkDelete(state, o.force); err != nil {
		return err
	}
	return p.remove(ctx, dir, state)
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
func (p *program) remove(ctx context.Context, dir statedir.Dir, state *statedir.State) error {
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
		p.warn("%v", err)
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
