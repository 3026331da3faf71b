// Command runsc-recover is an OCI runtime whose containers survive their own
// bugs. See README.md.
//
// Each command stands in a file of its own, as options and a function that
// carries them out; only main exits. Decisions and formats of files belong to
// the packages below.
package main

import (
	"context"
	"os"
	"runtime"

	"runsc-recover/runsc-recover/internal/supervisor"
)

// Set by the linker.
var (
	version = "unknown"
	commit  = "unknown"
)

// A supervisor does nothing on the process's first thread but what is said of
// it by the process's pid, and only an init function can keep that thread.
func init() {
	if len(os.Args) > 1 && os.Args[1] == supervisor.Command {
		runtime.LockOSThread()
	}
}

func main() {
	if isGVisorProcess(os.Args) {
		runGVisor()
	}
	os.Exit(run(context.Background(), os.Args, stdio{in: os.Stdin, out: os.Stdout, err: os.Stderr}))
}
