package cli

import (
	"context"

	"github.com/urfave/cli/v2"

	"runsc-recover/oci/errdefs"
	"runsc-recover/oci/statedir"
	"runsc-recover/runsc-recover/internal/cli/flags"
	"runsc-recover/runsc-recover/internal/host/cgroup"
)

func (p *program) startCommand() *cli.Command {
	return &cli.Command{
		Name:      "start",
		Usage:     "run the program of a created container",
		ArgsUsage: "<container-id>",
		Description: `Runs the program of a container that was made with create. A container is
started once. Under a service manager that waits for the program to be ready
(NOTIFY_SOCKET) it returns when the program is, or is over.

EXAMPLE:
   # runsc-recover create --bundle /bundles/web web
   # runsc-recover start web` + exitHelp,
		BashComplete: p.completeIDs,
		Action: func(c *cli.Context) error {
			if err := flags.NeedArgs(c, 1, 1); err != nil {
				return err
			}
			return p.start(c.Context, c.Args().First())
		},
	}
}

func (p *program) start(ctx context.Context, id string) error {
	ct, err := openContainer(p.globals.Root, id)
	if err != nil {
		return err
	}
	if err := checkStart(ct.state.CurrentStatus()); err != nil {
		return err
	}
	return p.startNotifying(ctx, ct, true)
}

// start runs the program. It is also what finds the container's limits to be
// too small for it.
func (ct *container) start(ctx context.Context) error {
	err := call(ctx, ct.client.Start)
	return cgroup.ReadLimitHits(ct.state.CgroupPaths).Explain(err)
}

func checkStart(s statedir.Status) error {
	switch s {
	case statedir.StatusCreated:
		return nil
	case statedir.StatusStopped:
		return errdefs.Errorf(errdefs.CodeNotCreated, "cannot start a container that has stopped")
	case statedir.StatusRunning:
		return errdefs.Errorf(errdefs.CodeNotCreated, "cannot start an already running container")
	}
	return errdefs.Errorf(errdefs.CodeNotCreated, "cannot start a container in the %s state", s)
}
