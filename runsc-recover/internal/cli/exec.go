package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/urfave/cli/v2"

	"runsc-recover/oci/errdefs"
	"runsc-recover/oci/statedir"
	"runsc-recover/runsc-recover/internal/api"
	"runsc-recover/runsc-recover/internal/cli/exechelper"
	"runsc-recover/runsc-recover/internal/cli/flags"
	"runsc-recover/runsc-recover/internal/container"
	"runsc-recover/runsc-recover/internal/sandbox"
)

func (p *program) execCommand() *cli.Command {
	return &cli.Command{
		Name:      "exec",
		Usage:     "run one more process in a container",
		ArgsUsage: "<container-id> <command> [arguments...]  |  --process FILE <container-id>",
		Description: `Runs a process in a running container. What isn't given by an option is that of the
container's own process.

The process isn't part of any checkpoint: when the container is rolled back it ends,
with status 137.

EXAMPLES:
   # runsc-recover exec web ls -l /tmp
   # runsc-recover exec --tty --env TERM=xterm web sh
   # runsc-recover exec --detach --pid-file job.pid --process job.json web

EXIT STATUS:
   The process's, 128+n when signal n ended it. 255 when it couldn't be run.`,
		Flags:        execFlags(),
		BashComplete: p.completeIDs,
		Action: func(c *cli.Context) error {
			err := p.exec(c)
			if _, ok := errors.AsType[exitStatus](err); err == nil || ok {
				return err
			}
			return &failedWith{status: statusExecError, err: fmt.Errorf("exec failed: %w", err)}
		},
	}
}

func execFlags() []cli.Flag {
	return append(flags.ProcessFlags(),
		&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "don't wait for the process"},
		&cli.StringFlag{Name: "pid-file", Usage: "write the pid of the host process that stands for the process to `FILE`"},
		&cli.StringFlag{Name: "console-socket", Usage: "send the terminal's master end over the unix socket `PATH`"},
		&cli.IntFlag{Name: "preserve-fds", Usage: "hand down N descriptors from 3 on"},
		&cli.BoolFlag{Name: "ignore-paused", Usage: "don't refuse a paused container; the process waits for resume"},
		&cli.StringSliceFlag{Name: "cgroup", Usage: "run the process in the cgroup `[CONTROLLER,...:]PATH` of the container, which can only be /"},
	)
}

// execOptions is all that exec was asked for.
type execOptions struct {
	id            string
	socket        string // the supervisor's
	process       *specs.Process
	detach        bool
	pidFile       string // absolute
	consoleSocket string
	preserveFDs   int
}

func (p *program) exec(c *cli.Context) error {
	if err := flags.NeedArgs(c, 1, -1); err != nil {
		return err
	}
	ct, err := p.containers.Open(c.Args().First())
	if err != nil {
		return err
	}
	if err := ct.CheckExec(c.Bool("ignore-paused")); err != nil {
		return err
	}
	if err := checkSubCgroups(c.StringSlice("cgroup")); err != nil {
		return err
	}
	o := execOptions{id: ct.State().ID, socket: ct.ControlSocket(), detach: c.Bool("detach"), consoleSocket: c.String("console-socket"), preserveFDs: c.Int("preserve-fds")}
	if o.pidFile, err = flags.AbsPath(c.String("pid-file")); err != nil {
		return fmt.Errorf("find pid file: %w", err)
	}
	if o.process, err = flags.ReadProcess(c, ct.ConfigFile()); err != nil {
		return err
	}
	if err := container.CheckConsole(o.process.Terminal, o.detach, o.consoleSocket); err != nil {
		return err
	}
	gen, err := ct.Generation(c.Context)
	if err != nil {
		return err
	}
	return p.execIn(c.Context, o, gen)
}

// checkSubCgroups refuses a cgroup below the container's: all of a sandbox is
// in one.
func checkSubCgroups(asked []string) error {
	for _, a := range asked {
		_, path, ok := strings.Cut(a, ":")
		if !ok {
			path = a
		}
		switch path = filepath.Clean(path); {
		case path == ".." || strings.HasPrefix(path, "../"):
			return errdefs.Errorf(errdefs.CodeRequest, "%s is not a sub cgroup path", path)
		case path != "/" && path != ".":
			return &errdefs.Error{Code: errdefs.CodeUnsupported, Message: fmt.Sprintf("a process can't be in the cgroup %s by itself", path),
				Next: "all of a sandbox is in the container's"}
		}
	}
	return nil
}

// execIn runs the process in the generation. Only a process in the foreground
// and without a terminal is run by this process itself: a terminal needs a
// session of its own, and a detached process one that outlives this command.
func (p *program) execIn(ctx context.Context, o execOptions, gen api.Generation) error {
	files, err := container.PreservedFiles(o.preserveFDs)
	if err != nil {
		return err
	}
	r := exechelper.Request{
		Handle: sandbox.Handle{Root: gen.Root, ID: gen.ID, Container: o.id}, Generation: gen.Number, Socket: o.socket,
		Process: o.process, Rootless: p.globals.IsRootless(),
	}
	if o.detach || o.process.Terminal {
		return p.execByHelper(ctx, o, r, files)
	}
	status, err := r.Run(ctx, p.Exec, files, func() error { return statedir.WritePidFile(o.pidFile, os.Getpid()) })
	return p.execEnded(status, err)
}

// execByHelper has the process run by a helper, and waits for its end unless
// detached.
func (p *program) execByHelper(ctx context.Context, o execOptions, r exechelper.Request, files []*os.File) error {
	h, err := exechelper.Start(r, exechelper.StartOptions{Args: p.globals.Args(), ConsoleSocket: o.consoleSocket, Files: files})
	if err != nil {
		return err
	}
	defer h.Close()
	if err := statedir.WritePidFile(o.pidFile, h.PID()); err != nil {
		return errors.Join(err, h.Kill())
	}
	if o.detach {
		return nil
	}
	state, err := h.Wait(ctx)
	if err != nil {
		return err
	}
	return endedAs(state)
}

// execEnded turns the end of an exec into the command's.
func (p *program) execEnded(status int, err error) error {
	if errors.Is(err, sandbox.ErrGone) {
		p.warn("%v", err)
		return exitStatus(status)
	}
	if err != nil || status == 0 {
		return err
	}
	return exitStatus(status)
}

// execWaitCommand is the helper's side of execByHelper.
func (p *program) execWaitCommand() *cli.Command {
	return &cli.Command{
		Name:   exechelper.Command,
		Hidden: true,
		Flags:  []cli.Flag{&cli.IntFlag{Name: exechelper.FilesFlag}},
		Action: func(c *cli.Context) error {
			if p.globals.Log == "" {
				// Standard error is the process's.
				p.report.discard()
			}
			status, err := exechelper.Serve(c.Context, p.Exec, c.Int(exechelper.FilesFlag))
			if errors.Is(err, exechelper.ErrReported) {
				return exitStatus(statusExecError)
			}
			return p.execEnded(status, err)
		},
	}
}
