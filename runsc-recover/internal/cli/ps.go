package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"runsc-recover/oci/errdefs"
	"runsc-recover/oci/statedir"
	"runsc-recover/runsc-recover/internal/cli/flags"
	"runsc-recover/runsc-recover/internal/cli/show"
	"runsc-recover/runsc-recover/internal/container"
)

func (p *program) psCommand() *cli.Command {
	return &cli.Command{
		Name:      "ps",
		Usage:     "list the processes of a container",
		ArgsUsage: "<container-id> [ps options]",
		Description: `Lists the container's processes. Without ps options the table shows the processes
inside, with the pids that they see themselves. With ps options the host's ps is
asked about the host processes that the container consists of: its supervisor,
and gVisor's sandbox and gofer. --format json prints the pids of the latter.

EXAMPLES:
   # runsc-recover ps web
   # runsc-recover ps web -o pid,rss,comm
   # runsc-recover ps --format json web` + exitHelp,
		Flags:        []cli.Flag{flags.FormatFlag()},
		BashComplete: p.completeIDs,
		Action: func(c *cli.Context) error {
			if err := flags.NeedArgs(c, 1, -1); err != nil {
				return err
			}
			format, err := flags.ReadFormat(c)
			if err != nil {
				return err
			}
			return p.ps(c.Context, psOptions{id: c.Args().First(), format: format, psArgs: psArgs(c.Args().Tail())})
		},
	}
}

// psArgs splits a single word: engines hand all of ps's options down as one,
// which may be empty.
func psArgs(args []string) []string {
	if len(args) == 1 {
		return strings.Fields(args[0])
	}
	return args
}

type psOptions struct {
	id     string
	format string
	psArgs []string
}

func (p *program) ps(ctx context.Context, o psOptions) error {
	ct, err := p.containers.Open(o.id)
	if err != nil {
		return err
	}
	switch {
	case o.format == flags.FormatJSON:
		return show.JSON(p.Out, ct.HostPIDs())
	case len(o.psArgs) > 0:
		return writeHostPS(ctx, p.Out, ct.HostPIDs(), o.psArgs)
	case ct.Status() == statedir.StatusStopped:
		return show.Processes(p.Out, nil)
	}
	ps, err := ct.Processes(ctx)
	if err != nil && !container.IsStopped(err) {
		return err
	}
	return show.Processes(p.Out, ps)
}

// writeHostPS prints the lines of the host's ps that are about pids.
func writeHostPS(ctx context.Context, w io.Writer, pids []int, args []string) error {
	out, err := exec.CommandContext(ctx, "ps", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("run ps: %w: %s", err, bytes.TrimSpace(out))
	}
	text, err := filterPS(string(out), pids)
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, text)
	return err
}

// filterPS keeps ps's header and the lines whose PID is one of pids.
func filterPS(out string, pids []int) (string, error) {
	header, body, _ := strings.Cut(out, "\n")
	column := slices.Index(strings.Fields(header), "PID")
	if column < 0 {
		return "", errdefs.Errorf(errdefs.CodeRequest, "couldn't find PID field in ps output")
	}
	var kept strings.Builder
	kept.WriteString(header + "\n")
	for line := range strings.Lines(body) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if column >= len(fields) {
			return "", errors.New("parse ps output: line without a pid")
		}
		pid, err := strconv.Atoi(fields[column])
		if err != nil {
			return "", fmt.Errorf("parse ps output: %w", err)
		}
		if slices.Contains(pids, pid) {
			kept.WriteString(line)
		}
	}
	return kept.String(), nil
}
