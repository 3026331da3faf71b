package cli

import (
	"encoding/json"
	"fmt"

	"github.com/urfave/cli/v2"

	"runsc-recover/runsc-recover/internal/cli/flags"
	"runsc-recover/runsc-recover/internal/cli/show"
)

func (p *program) stateCommand() *cli.Command {
	return &cli.Command{
		Name:      "state",
		Usage:     "show the state of a container",
		ArgsUsage: "<container-id>",
		Description: `Prints the OCI state of the container as JSON: its id, status (created, running,
paused or stopped), pid, bundle, rootfs, creation time and annotations. The pid
is the supervisor's; it stays the same when the container is rolled back, and is
0 once the container has stopped. standby says how far a copy for the next
failure is prepared, since when, and why so. checkpointError is there while no
checkpoint can be taken, and says why.

EXAMPLE:
   # runsc-recover state web` + exitHelp,
		BashComplete: p.completeIDs,
		Action: func(c *cli.Context) error {
			if err := flags.NeedArgs(c, 1, 1); err != nil {
				return err
			}
			return p.showState(c.Args().First())
		},
	}
}

func (p *program) showState(id string) error {
	ct, err := p.containers.Open(id)
	if err != nil {
		return err
	}
	b, err := json.MarshalIndent(show.StateOf(ct.State()), "", "  ")
	if err != nil {
		return fmt.Errorf("encode state: %w", err)
	}
	_, err = p.Out.Write(b)
	return err
}
