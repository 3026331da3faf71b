package cli

import (
	"github.com/urfave/cli/v2"

	"runsc-recover/runsc-recover/internal/cli/flags"
)

func (p *program) createCommand() *cli.Command {
	return &cli.Command{
		Name:      "create",
		Usage:     "make a container that start can run",
		ArgsUsage: "<container-id>",
		Description: `Makes a container from a bundle: a directory with a config.json and, usually, the
root filesystem that it names. Everything that can be checked is checked here, a
missing program included. Standard input, output and error become the container's.

The pid in the pid file is the supervisor's. It stays the same when the container
is rolled back, and the process exits with the container's status.

EXAMPLE:
   # runsc-recover create --bundle /bundles/web --pid-file web.pid web` + exitHelp,
		Flags: append(launchFlags(), &cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Hidden: true, Usage: "ignored"}),
		Action: func(c *cli.Context) error {
			if err := flags.NeedArgs(c, 1, 1); err != nil {
				return err
			}
			o, err := p.readLaunchOptions(c)
			if err != nil {
				return err
			}
			o.Detach = true
			_, _, err = p.create(c.Context, o)
			return err
		},
	}
}
