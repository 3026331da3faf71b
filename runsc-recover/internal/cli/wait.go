package cli

import (
	"context"

	"github.com/urfave/cli/v2"

	"runsc-recover/runsc-recover/internal/cli/flags"
	"runsc-recover/runsc-recover/internal/cli/show"
)

func (p *program) waitCommand() *cli.Command {
	return &cli.Command{
		Name:      "wait",
		Usage:     "wait until a container is over",
		ArgsUsage: "<container-id>",
		Description: `Waits until the container is over, rollbacks included, and exits with its status.

EXAMPLE:
   # runsc-recover wait web; echo $?

EXIT STATUS:
   The container's: 128+n when signal n ended it, 137 when its supervisor was
   killed. 1 when there is no such container.`,
		Flags:        []cli.Flag{flags.FormatFlag()},
		BashComplete: p.completeIDs,
		Action: func(c *cli.Context) error {
			if err := flags.NeedArgs(c, 1, 1); err != nil {
				return err
			}
			format, err := flags.ReadFormat(c)
			if err != nil {
				return err
			}
			return p.wait(c.Context, c.Args().First(), format)
		},
	}
}

func (p *program) wait(ctx context.Context, id, format string) error {
	ct, err := p.containers.Open(id)
	if err != nil {
		return err
	}
	exit, err := ct.Wait(ctx)
	if err != nil {
		return err
	}
	if format == flags.FormatJSON {
		if err := show.JSON(p.Out, exit); err != nil {
			return err
		}
	}
	return exitStatus(exit.Status)
}
