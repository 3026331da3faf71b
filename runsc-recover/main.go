// Command runsc-recover is an OCI runtime whose containers survive their own
// bugs. See README.md.
//
// The same binary is all processes of the program; this package decides which
// of them it is: one of gVisor's, a container's supervisor, or the command
// line. The linker sets its variables, and it alone exits.
//
// It must not know commands and options, or how a supervisor does its work.
package main

import (
	"context"
	"os"
	"runtime"

	"runsc-recover/runsc-recover/internal/cli"
	"runsc-recover/runsc-recover/internal/cli/exechelper"
	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/runsc-recover/internal/sandbox/runsc"
	"runsc-recover/runsc-recover/internal/supervisor"
)

// Set by the linker.
var (
	version = "unknown"
	commit  = "unknown"
)

// The process's first thread shows a container's root to those who look at the
// process's pid, so a supervisor does nothing else on it. Only an init function
// can keep that thread.
func init() {
	if isSupervisor(os.Args) {
		runtime.LockOSThread()
	}
}

func main() {
	ctx := context.Background()
	if isGVisorProcess(os.Args) {
		runGVisor()
	}
	if isSupervisor(os.Args) {
		runsc.Register()
		os.Exit(supervisor.Main(ctx, &runsc.Booter{}, gvisorVersion()))
	}
	os.Exit(cli.Run(ctx, os.Args, cli.Options{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		Version: version, Commit: commit, GVisorVersion: gvisorVersion(),
		Exec: execute, Tracking: runsc.Tracking,
	}))
}

// isSupervisor reports whether argv is the re-execution of this binary that
// owns a container.
func isSupervisor(argv []string) bool {
	return len(argv) > 1 && argv[1] == supervisor.Command
}

func execute(ctx context.Context, h sandbox.Handle, o exechelper.ExecOptions) (status int, err error) {
	runsc.Register()
	return runsc.Exec(ctx, h, runsc.ExecOptions(o))
}
