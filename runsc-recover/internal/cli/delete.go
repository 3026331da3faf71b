package cli

import (
	"github.com/urfave/cli/v2"

	"runsc-recover/runsc-recover/internal/cli/flags"
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
			return p.containers.Delete(c.Context, c.Args().First(), c.Bool("force"))
		},
	}
}
