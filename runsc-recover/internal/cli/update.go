package cli

import (
	"context"

	"github.com/urfave/cli/v2"

	"runsc-recover/runsc-recover/internal/cli/flags"
	"runsc-recover/runsc-recover/internal/container"
)

func (p *program) updateCommand() *cli.Command {
	return &cli.Command{
		Name:      "update",
		Usage:     "change a container's resource limits",
		ArgsUsage: "<container-id>",
		Description: `Changes limits of the container's cgroup while it runs. What isn't named stays as
it is. --resources takes the OCI resources structure as JSON and overrides the
other options. Sizes may end in k, m, g or t.

The limits hold for the whole container, gVisor and the supervisor included.

EXAMPLES:
   # runsc-recover update --memory 512m --pids-limit 200 web
   # echo '{"pids":{"limit":200}}' | runsc-recover update --resources - web` + exitHelp,
		Flags:        flags.ResourceFlags(),
		BashComplete: p.completeIDs,
		Action: func(c *cli.Context) error {
			r, err := flags.ReadResources(c, p.In)
			if err != nil {
				return err
			}
			return p.onContainer(func(ct *container.Container, ctx context.Context) error {
				return ct.Update(ctx, r)
			})(c)
		},
	}
}
