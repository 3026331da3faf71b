package cli

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"runsc-recover/checkpoint"
	"runsc-recover/oci/errdefs"
	"runsc-recover/runsc-recover/internal/cli/flags"
)

func (p *program) restoreCommand() *cli.Command {
	return &cli.Command{
		Name:      "restore",
		Usage:     "make a container from an image, or bring one back from its store",
		ArgsUsage: "<container-id>",
		Description: `Makes a container whose program goes on where it was when checkpoint saved it. The
bundle must be that of the saved container. Apart from that, restore is run.

With --from-store a container is brought back whose supervisor was killed, or whose
host has gone down, and that kept its checkpoints on disk (durability=disk). It goes
on from the newest that is sound, or from the one that --checkpoint names; those
behind it are removed once the copy has outlived its grace time. The program is told
by the failure interrupt, as after its sandbox's death, and episodes shows it. If the
container's state is still there it has the bundle and configuration that it had; if
not, as after a reboot, give both again, the store's directory included. When it
can't be brought back its checkpoints stay where they are.

EXAMPLES:
   # runsc-recover restore --image-path /var/tmp/web.img --bundle /bundles/web web
   # runsc-recover restore --from-store --detach web
   # runsc-recover restore --from-store --checkpoint 12 --bundle /bundles/web web

EXIT STATUS:
   As run.`,
		Flags: append(append(launchFlags(), foregroundFlags()...), append([]cli.Flag{
			&cli.StringFlag{Name: "image-path", Usage: "directory of the image (default: checkpoint, in the current directory)"},
			&cli.BoolFlag{Name: "from-store", Usage: "bring the container back from its checkpoints on disk"},
			&cli.Uint64Flag{Name: "checkpoint", Usage: "with --from-store: go on from checkpoint `NUMBER`"},
			&cli.StringFlag{Name: "lsm-profile", Hidden: true, Usage: "ignored"},
			&cli.StringFlag{Name: "lsm-mount-context", Hidden: true, Usage: "ignored"},
		}, ignoredImageFlags()...)...),
		Action: func(c *cli.Context) error {
			if err := flags.NeedArgs(c, 1, 1); err != nil {
				return err
			}
			o, err := p.readRestoreOptions(c)
			if err != nil {
				return err
			}
			return p.launch(c.Context, o)
		},
	}
}

func (p *program) readRestoreOptions(c *cli.Context) (launchOptions, error) {
	if c.Bool("lazy-pages") {
		return launchOptions{}, errdefs.Errorf(errdefs.CodeUnsupported, "--lazy-pages is not supported")
	}
	o, err := p.readLaunchOptions(c)
	if err != nil {
		return o, err
	}
	s := &o.Supervisor
	s.FromStore, s.FromSeq = c.Bool("from-store"), checkpoint.Seq(c.Uint64("checkpoint"))
	switch {
	case s.FromStore && s.ImagePath != "":
		return o, errdefs.Errorf(errdefs.CodeRequest, "--from-store and --image-path exclude each other")
	case !s.FromStore && c.IsSet("checkpoint"):
		return o, errdefs.Errorf(errdefs.CodeRequest, "--checkpoint goes with --from-store")
	case !s.FromStore:
		s.ImagePath, err = findImage(s.ImagePath)
	}
	return o, err
}

// findImage returns the image's directory, absolute.
func findImage(path string) (string, error) {
	if path == "" {
		path = defaultImage
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("find image: %w", err)
	}
	if fi, err := os.Stat(path); err != nil || !fi.IsDir() {
		return "", errdefs.Errorf(errdefs.CodeCheckpointMissing, "image %s is not a directory", path)
	}
	return path, nil
}
