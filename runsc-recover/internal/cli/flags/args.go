package flags

import (
	"path/filepath"
	"slices"
	"strconv"

	"github.com/urfave/cli/v2"

	"runsc-recover/checkpoint"
	"runsc-recover/oci/errdefs"
)

// NeedArgs refuses a number of arguments outside [least, most]; a negative most
// is no limit.
func NeedArgs(c *cli.Context, least, most int) error {
	n := c.NArg()
	switch {
	case least == most && n != least:
		return errdefs.Errorf(errdefs.CodeRequest, "%q requires exactly %d argument(s)", c.Command.Name, least)
	case n < least:
		return errdefs.Errorf(errdefs.CodeRequest, "%q requires a minimum of %d argument(s)", c.Command.Name, least)
	case most >= 0 && n > most:
		return errdefs.Errorf(errdefs.CodeRequest, "%q requires a maximum of %d argument(s)", c.Command.Name, most)
	}
	return nil
}

// ReadCheckpoint reads the arguments of a command on a checkpoint: an id, which
// the caller takes, and the checkpoint's number.
func ReadCheckpoint(c *cli.Context) (checkpoint.Seq, error) {
	if err := NeedArgs(c, 2, 2); err != nil {
		return 0, err
	}
	seq, err := strconv.ParseUint(c.Args().Get(1), 10, 64)
	if err != nil || seq == 0 {
		return 0, errdefs.Errorf(errdefs.CodeRequest, "checkpoint %q is not a number from 1", c.Args().Get(1))
	}
	return checkpoint.Seq(seq), nil
}

// AbsPath makes a path absolute; an empty path stays empty.
func AbsPath(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	return filepath.Abs(path)
}

// checkWord refuses an option's value that isn't among the words.
func checkWord(option, value string, words ...string) error {
	if !slices.Contains(words, value) {
		return errdefs.Errorf(errdefs.CodeRequest, "--%s is %q, allowed are %q", option, value, words)
	}
	return nil
}
