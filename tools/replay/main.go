// Command replay shows the trace that a supervisor wrote into its log with
// --debug: each event of the container with the time since the first one, below it
// the actions that it led to.
//
//	replay FILE
//
// FILE is the log, in JSON or text; - is standard input. It exits with 1 when the
// log can't be read or holds no trace, and with 2 for wrong arguments.
//
// It must not know the types of events and actions: a log of another version is
// shown alike.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"runsc-recover/checkpoint/trace"
)

func main() {
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: replay FILE\n\nShows the events and actions in the log of a supervisor that ran with --debug;\n- is standard input.")
	}
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(flag.Arg(0), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "replay:", err)
		os.Exit(1)
	}
}

func run(file string, out io.Writer) error {
	in := io.Reader(os.Stdin)
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	turns, err := trace.Read(in)
	if errors.Is(err, trace.ErrNone) {
		return fmt.Errorf("%w: run the container with --debug", err)
	}
	if err != nil {
		return err
	}
	return trace.Show(out, turns)
}
