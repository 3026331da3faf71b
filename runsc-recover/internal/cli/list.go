package cli

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"runsc-recover/oci/errdefs"
	"runsc-recover/runsc-recover/internal/cli/flags"
)

func (p *program) listCommand() *cli.Command {
	return &cli.Command{
		Name:  "list",
		Usage: "list containers",
		Description: `Lists the containers below --root, whatever their status.

EXAMPLES:
   # runsc-recover list
   # runsc-recover list --quiet
   # runsc-recover --root /run/other list --format json` + exitHelp,
		Flags: []cli.Flag{
			flags.FormatFlag(),
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "print ids only"},
		},
		Action: func(c *cli.Context) error {
			if err := flags.NeedArgs(c, 0, 0); err != nil {
				return err
			}
			format, err := flags.ReadFormat(c)
			if err != nil {
				return err
			}
			return p.list(listOptions{format: format, quiet: c.Bool("quiet")})
		},
	}
}

type listOptions struct {
	format string
	quiet  bool
}

func (p *program) list(o listOptions) error {
	all, err := p.loadAll()
	if err != nil {
		return err
	}
	return writeList(p.Out, all, o)
}

// loadAll returns all containers by name. One that can't be read is named on
// standard error, and doesn't hide the others.
func (p *program) loadAll() ([]stateView, error) {
	ids, err := p.containers.IDs()
	if err != nil {
		return nil, err
	}
	var all []stateView
	for _, id := range ids {
		ct, err := p.containers.Open(id)
		switch {
		case errors.Is(err, errdefs.ErrNotExist): // being created or deleted
		case err != nil:
			fmt.Fprintf(p.Err, "load container %s: %v\n", id, err)
		default:
			all = append(all, viewOf(ct.State()))
		}
	}
	return all, nil
}

func writeList(w io.Writer, all []stateView, o listOptions) error {
	if o.quiet {
		for _, s := range all {
			fmt.Fprintln(w, s.ID)
		}
		return nil
	}
	if o.format == flags.FormatJSON {
		return writeJSON(w, all)
	}
	t := newTable(w)
	fmt.Fprint(t, "ID\tPID\tSTATUS\tBUNDLE\tCREATED\tOWNER\n")
	for _, s := range all {
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%s\n", s.ID, s.Pid, s.Status, s.Bundle, s.Created.Format(time.RFC3339Nano), s.Owner)
	}
	return t.Flush()
}
