package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"

	"runsc-recover/checkpoint"
	"runsc-recover/oci/errdefs"
	"runsc-recover/runsc-recover/internal/api"
	"runsc-recover/runsc-recover/internal/cli/flags"
	"runsc-recover/runsc-recover/internal/cli/show"
	"runsc-recover/runsc-recover/internal/container"
)

func (p *program) checkpointsCommand() *cli.Command {
	return &cli.Command{
		Name:  "checkpoints",
		Usage: "look after the checkpoints of a container",
		Description: `Lists, shows, verifies and removes the checkpoints that a rollback can go back to.
Those of a stopped container are there if they were kept on disk, and until it is
deleted.`,
		Subcommands: []*cli.Command{
			p.checkpointsListCommand(),
			p.checkpointsInspectCommand(),
			p.onCheckpointCommand("verify", "read a checkpoint in full and compare its hashes",
				(*container.Container).VerifyCheckpoint),
			p.onCheckpointCommand("remove", "delete a checkpoint",
				(*container.Container).RemoveCheckpoint),
		},
	}
}

func (p *program) checkpointsListCommand() *cli.Command {
	return &cli.Command{
		Name:      "list",
		Usage:     "list a container's checkpoints, the oldest first",
		ArgsUsage: "<container-id>",
		Description: `MEMORY is all of the program's, CHANGED what of it wasn't in the checkpoint before,
STORED what the checkpoint added to the store. PAUSE is how long the program stood
still for it, RUN TIME how long it had run by then. Why no other can be taken at the
moment, if that is so, is said on standard error.

EXAMPLE:
   # runsc-recover checkpoints list web` + exitHelp,
		Flags:        []cli.Flag{flags.FormatFlag()},
		BashComplete: p.completeIDs,
		Action: func(c *cli.Context) error {
			if err := flags.NeedArgs(c, 1, 1); err != nil {
				return err
			}
			format, err := flags.ReadFormat(c)
			if err != nil {
				return err
			}
			return p.listCheckpoints(c.Context, c.Args().First(), format)
		},
	}
}

func (p *program) listCheckpoints(ctx context.Context, id, format string) error {
	all, err := p.loadCheckpoints(ctx, id)
	switch {
	case err != nil:
		return err
	case format == flags.FormatJSON:
		err = show.JSON(p.Out, append([]api.CheckpointEntry{}, all...)) // never null
	default:
		err = show.Checkpoints(p.Out, all)
	}
	if err != nil {
		return err
	}
	return p.tellProblem(id)
}

func (p *program) loadCheckpoints(ctx context.Context, id string) ([]api.CheckpointEntry, error) {
	ct, err := p.containers.Open(id)
	if err != nil {
		return nil, err
	}
	return ct.Checkpoints(ctx)
}

// tellProblem says why the next checkpoint can't be taken, if it can't.
func (p *program) tellProblem(id string) error {
	ct, err := p.containers.Open(id)
	if err != nil {
		return err
	}
	if why := show.StateOf(ct.State()).CheckpointError; why != "" {
		fmt.Fprintf(p.Err, "no checkpoint can be taken at the moment: %s\n", show.Printable(why))
	}
	return nil
}

func (p *program) checkpointsInspectCommand() *cli.Command {
	return &cli.Command{
		Name:      "inspect",
		Usage:     "show all that is known of a checkpoint",
		ArgsUsage: "<container-id> <number>",
		Description: `CHANGED is what of the program's memory wasn't in the checkpoint before, and how
that was known; STORED what the checkpoint added to the store, part by part; PAUSE
how long the program stood still: until all of it had stopped, while gVisor's
kernel was written, and while memory was copied; PUBLISHED how long it then took
to keep the checkpoint, while the program ran.

EXAMPLES:
   # runsc-recover checkpoints inspect web 12
   # runsc-recover checkpoints inspect --format json web 12` + exitHelp,
		Flags:        []cli.Flag{flags.FormatFlag()},
		BashComplete: p.completeIDs,
		Action: func(c *cli.Context) error {
			seq, err := flags.ReadCheckpoint(c)
			if err != nil {
				return err
			}
			format, err := flags.ReadFormat(c)
			if err != nil {
				return err
			}
			return p.inspectCheckpoint(c.Context, c.Args().First(), seq, format)
		},
	}
}

func (p *program) inspectCheckpoint(ctx context.Context, id string, seq checkpoint.Seq, format string) error {
	all, err := p.loadCheckpoints(ctx, id)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(e api.CheckpointEntry) bool { return e.Seq == seq })
	switch {
	case i < 0:
		return errdefs.Errorf(errdefs.CodeCheckpointMissing, "%w: %d", checkpoint.ErrNotFound, seq)
	case format == flags.FormatJSON:
		return show.IndentedJSON(p.Out, all[i])
	}
	return show.Checkpoint(p.Out, all[i])
}

// onCheckpointCommand is a command on a checkpoint that prints nothing.
func (p *program) onCheckpointCommand(name, usage string, f func(*container.Container, context.Context, checkpoint.Seq) error) *cli.Command {
	return &cli.Command{
		Name:         name,
		Usage:        usage,
		ArgsUsage:    "<container-id> <number>",
		Description:  "EXAMPLE:\n   # runsc-recover checkpoints " + name + " web 12" + exitHelp,
		BashComplete: p.completeIDs,
		Action: func(c *cli.Context) error {
			seq, err := flags.ReadCheckpoint(c)
			if err != nil {
				return err
			}
			ct, err := p.containers.Open(c.Args().First())
			if err != nil {
				return err
			}
			return f(ct, c.Context, seq)
		},
	}
}
