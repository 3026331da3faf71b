package cli

import (
	"github.com/urfave/cli/v2"

	"runsc-recover/runsc-recover/internal/cli/flags"
)

func (p *program) runCommand() *cli.Command {
	return &cli.Command{
		Name:      "run",
		Usage:     "create and start a container",
		ArgsUsage: "<container-id>",
		Description: `Makes a container as create does, starts it, stays until it is over and deletes it.
Signals are handed on to it. With --detach it returns once the program runs, and
the container stays until it is deleted.

EXAMPLES:
   # runsc-recover run --bundle /bundles/web web
   # runsc-recover --recover-interval 250ms run --detach --bundle /bundles/web web

EXIT STATUS:
   The container's, 128+n when signal n ended it; 0 with --detach. 1 when it
   couldn't be run.`,
		Flags: append(launchFlags(), foregroundFlags()...),
		Action: func(c *cli.Context) error {
			if err := flags.NeedArgs(c, 1, 1); err != nil {
				return err
			}
			o, err := p.readLaunchOptions(c)
			if err != nil {
				return err
			}
			return p.launch(c.Context, o)
		},
	}
}
