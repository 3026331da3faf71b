package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/urfave/cli/v2"

	"runsc-recover/oci/errdefs"
	"runsc-recover/oci/statedir"
	"runsc-recover/runsc-recover/internal/api"
	"runsc-recover/runsc-recover/internal/cli/flags"
	"runsc-recover/runsc-recover/internal/container"
	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/runsc-recover/internal/terminal"
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
	r := execRequest{
		Handle: sandbox.Handle{Root: gen.Root, ID: gen.ID, Container: o.id}, Generation: gen.Number, Socket: o.socket,
		Process: o.process, Rootless: p.globals.IsRootless(),
	}
	if o.detach || o.process.Terminal {
		return p.execApart(ctx, o, r, files)
	}
	status, err := r.run(ctx, p.Exec, files, func() error { return writePidFile(o.pidFile, os.Getpid()) })
	return p.execEnded(status, err)
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

// execRequest is a process to run, as it is told to the process that does it.
type execRequest struct {
	Handle     sandbox.Handle `json:"handle"`
	Generation int            `json:"generation"`
	Socket     string         `json:"socket"` // the supervisor's
	Process    *specs.Process `json:"process"`
	Rootless   bool           `json:"rootless"`
}

// run runs the process with this one's stdio and the preserved files. When
// this one is killed, so is the process.
func (r execRequest) run(ctx context.Context, exec func(context.Context, sandbox.Handle, ExecOptions) (int, error), preserved []*os.File, started func() error) (int, error) {
	files := map[int]*os.File{0: os.Stdin, 1: os.Stdout, 2: os.Stderr}
	for i, f := range preserved {
		files[3+i] = f
	}
	_ = terminal.AppendOutput() // the process runs all the same
	var guard *api.Guard
	status, err := exec(ctx, r.Handle, ExecOptions{
		Process: r.Process, Files: files, Rootless: r.Rootless,
		Started: func(pid int) (err error) {
			if guard, err = api.NewClient(r.Socket).Guard(api.ExecProcess{Generation: r.Generation, PID: pid}); err != nil {
				return err
			}
			return started()
		},
	})
	if guard != nil {
		guard.Ended()
	}
	return status, err
}

// writePidFile writes the pid so that a reader never sees half of it. An empty
// path is no file.
func writePidFile(path string, pid int) error {
	if path == "" {
		return nil
	}
	if err := statedir.WriteFile(path, []byte(strconv.Itoa(pid))); err != nil {
		return fmt.Errorf("write pid file: %w", err)
	}
	return nil
}
