package cli

import (
	"context"

	"github.com/urfave/cli/v2"

	"runsc-recover/runsc-recover/internal/cli/flags"
	"runsc-recover/runsc-recover/internal/container"
)

func (p *program) pauseCommand() *cli.Command {
	return &cli.Command{
		Name:      "pause",
		Usage:     "stop all processes of a container where they are",
		ArgsUsage: "<container-id>",
		Description: `Stops every process in the container until resume. No checkpoints are taken and
no run time passes meanwhile. A pause during a rollback holds the copy.

EXAMPLE:
   # runsc-recover pause web` + exitHelp,
		BashComplete: p.completeIDs,
		Action:       p.onContainer((*container.Container).Pause),
	}
}

func (p *program) resumeCommand() *cli.Command {
	return &cli.Command{
		Name:      "resume",
		Usage:     "let a paused container run on",
		ArgsUsage: "<container-id>",
		Description: `Lets the processes of a paused container run on.

EXAMPLE:
   # runsc-recover resume web` + exitHelp,
		BashComplete: p.completeIDs,
		Action:       p.onContainer((*container.Container).Resume),
	}
}

// onContainer is the action of a command whose one argument is a container.
func (p *program) onContainer(f func(ct *container.Container, ctx context.Context) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		if err := flags.NeedArgs(c, 1, 1); err != nil {
			return err
		}
		ct, err := p.containers.Open(c.Args().First())
		if err != nil {
			return err
		}
		return f(ct, c.Context)
	}
}
