package main

import (
	"os"

	"github.com/google/subcommands"
	"gvisor.dev/gvisor/runsc/cli"
	"gvisor.dev/gvisor/runsc/cmd"
	"gvisor.dev/gvisor/runsc/cmd/sentry/sentrycmd"
	"gvisor.dev/gvisor/runsc/cmd/util"

	"runsc-recover/sentry/agent"
)

// The names under which gVisor re-executes this binary, as argv[0]. Its third
// helper keeps argv[0] and is known by its subcommand, umount, which isn't
// one of ours.
const (
	gvisorSandbox = "runsc-sandbox"
	gvisorGofer   = "runsc-gofer"
)

// isGVisorProcess reports whether argv is gVisor's own re-execution of this
// binary rather than a command of ours.
func isGVisorProcess(argv []string) bool {
	switch argv[0] {
	case gvisorSandbox, gvisorGofer:
		return true
	}
	return len(argv) > 1 && argv[1] == "umount"
}

// runGVisor hands the process to gVisor's command line and doesn't return.
func runGVisor() {
	agent.Register()
	cli.Run(nil, map[util.SubCommand]string{
		new(sentrycmd.Boot):   "",
		new(cmd.Gofer):        "",
		new(sentrycmd.Umount): "",
	}, []subcommands.Command{})
	os.Exit(128)
}
