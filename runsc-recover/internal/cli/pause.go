package cli

import (
	"context"

	"github.com/urfave/cli/v2"

	"runsc-recover/runsc-recover/internal/cli/flags"
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
		Action: p.onContainer(func(ctx context.Context, ct *container) error {
			return ct.client.Pause(ctx)
		}),
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
		Action: p.onContainer(func(ctx context.Context, ct *container) error {
			return ct.client.Resume(ctx)
		}),
	}
}

// onContainer is the action of a command whose one argument is a live
// container.
func (p *program) onContainer(f func(ctx context.Context, ct *container) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		if err := flags.NeedArgs(c, 1, 1); err != nil {
			return err
		}
		ct, err := openLive(p.globals.Root, c.Args().First())
		if err != nil {
			return err
		}
		return call(c.Context, func(ctx context.Context) error { return f(ctx, ct) })
	}
}
