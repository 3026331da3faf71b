package cli

import (
	"context"

	"github.com/urfave/cli/v2"

	"runsc-recover/oci/errdefs"
	"runsc-recover/oci/signals"
	"runsc-recover/runsc-recover/internal/api"
	"runsc-recover/runsc-recover/internal/cli/flags"
	"runsc-recover/runsc-recover/internal/container"
)

func (p *program) killCommand() *cli.Command {
	return &cli.Command{
		Name:      "kill",
		Usage:     "send a signal to a container",
		ArgsUsage: "<container-id> [signal]",
		Description: `Sends a signal, SIGTERM by default, to the container's first process. Names may
be written with or without SIG, numbers are taken as they are. Signal 0 sends
nothing and only says whether the container is there to be signalled.

A signal that is given while the container is being rolled back is delivered to
the copy. A program that dies of a signal sent here has not failed: it is not
rolled back.

EXAMPLES:
   # runsc-recover kill web
   # runsc-recover kill web KILL
   # runsc-recover kill --all web 9` + exitHelp,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "send the signal to every process in the container"},
		},
		BashComplete: p.completeIDs,
		Action: func(c *cli.Context) error {
			if err := flags.NeedArgs(c, 1, 2); err != nil {
				return err
			}
			name := c.Args().Get(1)
			if name == "" {
				name = "TERM"
			}
			sig, ok := signals.Parse(name)
			if !ok {
				return errdefs.Errorf(errdefs.CodeRequest, "unknown signal %q", name)
			}
			return p.kill(c.Context, c.Args().First(), api.SignalRequest{Signal: sig, All: c.Bool("all")})
		},
	}
}

func (p *program) kill(ctx context.Context, id string, r api.SignalRequest) error {
	ct, err := p.containers.Open(id)
	if err == nil {
		err = ct.Signal(ctx, r)
	}
	if container.IsStopped(err) && r.All {
		return nil // nothing is left that could miss the signal
	}
	return err
}
