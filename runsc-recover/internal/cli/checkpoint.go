package cli

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"runsc-recover/oci/errdefs"
	"runsc-recover/runsc-recover/internal/api"
	"runsc-recover/runsc-recover/internal/cli/flags"
	"runsc-recover/runsc-recover/internal/cli/show"
	"runsc-recover/runsc-recover/internal/container"
)

// defaultImage is where an image is written when --image-path isn't given, as
// in runc.
const defaultImage = "checkpoint"

func (p *program) checkpointCommand() *cli.Command {
	return &cli.Command{
		Name:      "checkpoint",
		Usage:     "save a running container",
		ArgsUsage: "<container-id>",
		Description: `Writes the container's state into a directory, from which restore makes a container
again. Unless --leave-running is given the container is over and deleted then.

With --into-store a checkpoint is put among those that rollbacks go back to,
instead; the container runs on. Its number is printed.

EXAMPLES:
   # runsc-recover checkpoint --image-path /var/tmp/web.img --leave-running web
   # runsc-recover checkpoint --into-store web` + exitHelp,
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "image-path", Usage: "directory for the image (default: checkpoint, in the current directory)"},
			&cli.BoolFlag{Name: "leave-running", Usage: "let the container run on"},
			&cli.BoolFlag{Name: "into-store", Usage: "take a checkpoint for rollbacks instead"},
			&cli.StringFlag{Name: "format", Aliases: []string{"f"}, Value: flags.FormatTable, Usage: "what --into-store prints: table (the number) or json (the manifest)"},
			&cli.BoolFlag{Name: "pre-dump", Hidden: true, Usage: "not supported"},
			&cli.StringFlag{Name: "page-server", Hidden: true, Usage: "not supported"},
			&cli.StringFlag{Name: "parent-path", Hidden: true, Usage: "ignored"},
			&cli.IntFlag{Name: "status-fd", Hidden: true, Usage: "ignored"},
		}, ignoredImageFlags()...),
		BashComplete: p.completeIDs,
		Action: func(c *cli.Context) error {
			if err := flags.NeedArgs(c, 1, 1); err != nil {
				return err
			}
			o, err := readCheckpointOptions(c)
			if err != nil {
				return err
			}
			return p.checkpoint(c.Context, o)
		},
	}
}

// ignoredImageFlags are runc's options for checkpoint and restore that have no
// effect here: they allow things that are always done, or never needed.
func ignoredImageFlags() []cli.Flag {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "work-path", Hidden: true, Usage: "ignored"},
		&cli.StringFlag{Name: "manage-cgroups-mode", Hidden: true, Usage: "ignored"},
		&cli.StringSliceFlag{Name: "empty-ns", Hidden: true, Usage: "ignored"},
		&cli.BoolFlag{Name: "lazy-pages", Hidden: true, Usage: "not supported"},
	}
	for _, name := range []string{"tcp-established", "ext-unix-sk", "shell-job", "file-locks", "auto-dedup"} {
		flags = append(flags, &cli.BoolFlag{Name: name, Hidden: true, Usage: "ignored"})
	}
	return flags
}

type checkpointOptions struct {
	id        string
	intoStore bool
	format    string
	image     api.SaveImageRequest
}

func readCheckpointOptions(c *cli.Context) (checkpointOptions, error) {
	o := checkpointOptions{id: c.Args().First(), intoStore: c.Bool("into-store")}
	// Ignoring these would end the container, or leave its image elsewhere
	// than the caller will look.
	for _, name := range []string{"pre-dump", "page-server", "lazy-pages"} {
		if c.IsSet(name) {
			return o, errdefs.Errorf(errdefs.CodeUnsupported, "--%s is not supported", name)
		}
	}
	var err error
	if o.format, err = flags.ReadFormat(c); err != nil {
		return o, err
	}
	path := c.String("image-path")
	switch {
	case o.intoStore && path != "":
		return o, errdefs.Errorf(errdefs.CodeRequest, "--into-store and --image-path exclude each other")
	case path == "":
		path = defaultImage
	}
	if o.image.ImagePath, err = filepath.Abs(path); err != nil {
		return o, fmt.Errorf("find image directory: %w", err)
	}
	o.image.LeaveRunning = c.Bool("leave-running")
	return o, nil
}

func (p *program) checkpoint(ctx context.Context, o checkpointOptions) error {
	ct, err := p.containers.Open(o.id)
	if err != nil {
		return err
	}
	if err := ct.CheckCheckpoint(); err != nil {
		return err
	}
	if o.intoStore {
		return p.checkpointIntoStore(ctx, ct, o.format)
	}
	if err := ct.SaveImage(ctx, o.image); err != nil || o.image.LeaveRunning {
		return err
	}
	return p.containers.Delete(ctx, o.id, true)
}

func (p *program) checkpointIntoStore(ctx context.Context, ct *container.Container, format string) error {
	m, err := ct.Checkpoint(ctx)
	if err != nil {
		return err
	}
	if format == flags.FormatJSON {
		return show.JSON(p.Out, m)
	}
	_, err = fmt.Fprintln(p.Out, m.Seq)
	return err
}
