package cli

import (
	"context"

	"github.com/urfave/cli/v2"

	"runsc-recover/runsc-recover/internal/cli/flags"
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
	ct, err := p.containers.Open(id)
	if err != nil {
		return err
	}
	if err := ct.CheckStart(); err != nil {
		return err
	}
	return ct.Start(ctx, startOptions(true))
}
