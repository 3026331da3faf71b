package cli

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"runsc-recover/oci/errdefs"
	"runsc-recover/runsc-recover/internal/cli/flags"
	"runsc-recover/runsc-recover/internal/cli/show"
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
	switch {
	case o.quiet:
		return show.IDs(p.Out, all)
	case o.format == flags.FormatJSON:
		return show.JSON(p.Out, all)
	}
	return show.Containers(p.Out, all)
}

// loadAll returns all containers by name. One that can't be read is named on
// standard error, and doesn't hide the others.
func (p *program) loadAll() ([]show.State, error) {
	ids, err := p.containers.IDs()
	if err != nil {
		return nil, err
	}
	var all []show.State
	for _, id := range ids {
		ct, err := p.containers.Open(id)
		switch {
		case errors.Is(err, errdefs.ErrNotExist): // being created or deleted
		case err != nil:
			fmt.Fprintf(p.Err, "load container %s: %v\n", id, err)
		default:
			all = append(all, show.StateOf(ct.State()))
		}
	}
	return all, nil
}
