package main

import (
	"os"
	"runtime/debug"

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

const gvisorModule = "gvisor.dev/gvisor"

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

// gvisorVersion is the version of gVisor's module in this binary.
func gvisorVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, m := range info.Deps {
		if m.Path == gvisorModule {
			return m.Version
		}
	}
	return "unknown"
}
