// Package cli is the command line: each command stands in a file of its own, as
// options and a function that carries them out. Options and output are runc's,
// with commands of our own beside them.
//
// It must not know gVisor, which main hands down as functions, or how a
// supervisor does its work. It doesn't end the process: Run returns the status.
package cli

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/urfave/cli/v2"

	"runsc-recover/checkpoint/config"
	"runsc-recover/oci/errdefs"
	"runsc-recover/runsc-recover/internal/cli/exechelper"
	"runsc-recover/runsc-recover/internal/cli/flags"
	"runsc-recover/runsc-recover/internal/container"
)

// Options are a command line's dependencies, set by main. They are immutable.
type Options struct {
	In       io.Reader
	Out, Err io.Writer

	Version, Commit string // of this program
	GVisorVersion   string
	// Exec runs one more process in a sandbox.
	Exec exechelper.ExecFunc
	// Tracking names the way in which sandboxes on this host find out which
	// memory changed since a checkpoint, when asked is configured.
	Tracking func(asked config.Tracking) string
}

// Run carries out one command line and returns the exit status.
func Run(ctx context.Context, args []string, o Options) int {
	out := &reporter{stderr: o.Err}
	app := newApp(o, out)
	err := app.RunContext(ctx, flags.Permute(app, args))
	status, print := statusOf(err)
	if print {
		out.fail(err)
	}
	return status
}

// program is the state that commands share.
type program struct {
	Options
	report *reporter
	// Set before a command runs.
	globals    flags.Globals
	containers *container.Root
}

// newApp returns the command line.
func newApp(o Options, out *reporter) *cli.App {
	p := &program{Options: o, report: out}
	app := cli.NewApp()
	app.Name = "runsc-recover"
	app.Usage = "run OCI containers that survive their own bugs"
	app.Description = appDescription
	app.HideVersion = true // the library's form of it isn't runc's
	app.Reader, app.Writer, app.ErrWriter = o.In, o.Out, o.Err
	app.Flags = flags.GlobalFlags()
	app.Commands = p.commands()
	app.EnableBashCompletion = true
	app.HideHelpCommand = true
	app.DisableSliceFlagSeparator = true // values may hold commas
	// The library exits by itself for some errors, and prints others.
	app.ExitErrHandler = func(*cli.Context, error) {}
	app.OnUsageError = usageError
	for _, c := range app.Commands {
		prepareCommand(c)
	}
	app.Before = p.before
	app.CommandNotFound = func(*cli.Context, string) {}
	app.Action = p.noCommand
	return app
}

func (p *program) commands() []*cli.Command {
	return []*cli.Command{
		p.checkpointCommand(),
		p.checkpointsCommand(),
		p.completionCommand(),
		p.createCommand(),
		p.deleteCommand(),
		p.episodesCommand(),
		p.eventsCommand(),
		p.execCommand(),
		p.execWaitCommand(),
		p.failCommand(),
		p.featuresCommand(),
		p.installCommand(),
		p.killCommand(),
		p.listCommand(),
		p.pauseCommand(),
		p.psCommand(),
		p.restoreCommand(),
		p.resumeCommand(),
		p.runCommand(),
		p.specCommand(),
		p.startCommand(),
		p.stateCommand(),
		p.uninstallCommand(),
		p.updateCommand(),
		p.waitCommand(),
	}
}

func prepareCommand(c *cli.Command) {
	c.OnUsageError = usageError
	c.HideHelpCommand = true
	for _, s := range c.Subcommands {
		prepareCommand(s)
	}
}

func (p *program) before(c *cli.Context) error {
	g, err := flags.ReadGlobals(c)
	if err != nil {
		return err
	}
	p.globals = g
	if err := p.report.open(g); err != nil {
		return err
	}
	p.containers = &container.Root{Dir: g.Root, GVisorVersion: p.GVisorVersion, Log: p.report.log}
	if c.Args().First() != exechelper.Command { // whose standard error is a process's
		p.report.log.Debug("command", "args", c.Args().Slice())
	}
	return nil
}

func (p *program) noCommand(c *cli.Context) error {
	if c.Bool("version") {
		_, err := fmt.Fprintln(p.Out, p.versionText())
		return err
	}
	if c.NArg() > 0 {
		return errdefs.Errorf(errdefs.CodeRequest, "unknown command %q, see runsc-recover --help", c.Args().First())
	}
	return cli.ShowAppHelp(c)
}

func usageError(c *cli.Context, err error, _ bool) error {
	name := "runsc-recover"
	if c.Command != nil && c.Command.Name != "" && c.Command.Name != name {
		name += " " + c.Command.Name
	}
	return errdefs.Errorf(errdefs.CodeRequest, "%w, see %s --help", err, name)
}

// versionText is the answer to --version. Callers of runc look for the first
// line, and take the others by their names.
func (o Options) versionText() string {
	return strings.Join([]string{
		"runc version " + o.Version,
		"runsc-recover version " + o.Version,
		"commit: " + o.Commit,
		"gvisor: " + o.GVisorVersion,
		"spec: " + specs.Version,
		"go: " + runtime.Version(),
	}, "\n")
}

// warn logs a warning, which doesn't end the command.
func (p *program) warn(format string, args ...any) {
	p.report.log.Warn(fmt.Sprintf(format, args...))
}
