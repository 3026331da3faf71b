package main

import (
	"github.com/urfave/cli/v2"

	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/runsc-recover/internal/sandbox/runsc"
	"runsc-recover/runsc-recover/internal/supervisor"
)

// superviseCommand is what this binary is re-executed as to own a container.
func (p *program) superviseCommand() *cli.Command {
	return &cli.Command{
		Name:   supervisor.Command,
		Hidden: true,
		Action: func(c *cli.Context) error {
			return exitStatus(supervisor.Main(c.Context, supervisor.MainOptions{
				NewBooter:     newBooter,
				GVisorVersion: gvisorVersion(),
			}))
		},
	}
}

func newBooter(o supervisor.SpawnOptions) sandbox.Booter {
	runsc.Register()
	return &runsc.Booter{Network: o.Network, Debug: o.Debug, LogDir: string(o.Dir), Rootless: o.Rootless}
}
