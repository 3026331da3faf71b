package cli

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"runsc-recover/checkpoint/config"
	"runsc-recover/oci/errdefs"
	"runsc-recover/runsc-recover/internal/cli/flags"
	"runsc-recover/runsc-recover/internal/install"
)

func (p *program) installCommand() *cli.Command {
	options := append(engineFlags(), &cli.StringFlag{Name: "binary", Usage: "the runtime's `FILE` (default: this one)"},
		&cli.StringFlag{Name: "network", Usage: flags.NetworkUsage})
	for _, o := range config.Names() {
		options = append(options, &cli.StringFlag{Name: o.Name, DefaultText: o.Default, Usage: o.Usage})
	}
	return &cli.Command{
		Name:  "install",
		Usage: "tell container engines of this runtime",
		Description: `Writes this runtime into the configuration of docker, containerd and podman: of
those that are named, or else of those that are there. Other settings stay as they
are. The options that say how containers are protected become the engine's for
this runtime. With --systemd-cgroup before the command, containerd leaves cgroups
to systemd.

EXAMPLES:
   # runsc-recover install --dry-run
   # runsc-recover install --docker --interval 1s --on report,signal,exit` + exitHelp,
		Flags: options,
		Action: func(c *cli.Context) error {
			if err := flags.NeedArgs(c, 0, 0); err != nil {
				return err
			}
			rt, err := p.readRuntime(c)
			if err != nil {
				return err
			}
			return p.configure(c, chosenEngines(c, isThere), func(e install.Engine) ([]install.Change, error) {
				return e.Plan(c.String("config-dir"), rt, os.ReadFile)
			})
		},
	}
}

func (p *program) uninstallCommand() *cli.Command {
	return &cli.Command{
		Name:  "uninstall",
		Usage: "take back what install did",
		Description: `Takes this runtime out of the configuration of container engines: of those that
are named, or else of all. Other settings stay as they are.

EXAMPLE:
   # runsc-recover uninstall --docker --dry-run` + exitHelp,
		Flags: engineFlags(),
		Action: func(c *cli.Context) error {
			if err := flags.NeedArgs(c, 0, 0); err != nil {
				return err
			}
			all := func(install.Engine) bool { return true }
			return p.configure(c, chosenEngines(c, all), func(e install.Engine) ([]install.Change, error) {
				return e.PlanRemoval(c.String("config-dir"), c.String("name"), os.ReadFile)
			})
		},
	}
}

func engineFlags() []cli.Flag {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "name", Value: "runsc-recover", Usage: "what engines call the runtime"},
		&cli.StringFlag{Name: "config-dir", Value: "/etc", Usage: "`DIRECTORY` that holds the engines' configuration"},
		&cli.BoolFlag{Name: "dry-run", Usage: "show what would change, and change nothing"},
	}
	for _, e := range install.Engines() {
		flags = append(flags, &cli.BoolFlag{Name: e.Name, Usage: "configure " + e.Name})
	}
	return flags
}

// readRuntime reads the runtime's description for engines.
func (p *program) readRuntime(c *cli.Context) (install.Runtime, error) {
	rt := install.Runtime{Name: c.String("name"), SystemdCgroup: p.globals.SystemdCgroup}
	options := make(map[string]string)
	for _, o := range config.Names() {
		if c.IsSet(o.Name) {
			options[o.Name] = c.String(o.Name)
			rt.Args = append(rt.Args, "--"+flags.RecoverPrefix+o.Name+"="+c.String(o.Name))
		}
	}
	if c.IsSet("network") {
		if err := flags.CheckNetwork(c.String("network")); err != nil {
			return rt, err
		}
		rt.Args = append(rt.Args, "--network="+c.String("network"))
	}
	if _, err := config.FromAnnotations(nil, options); err != nil {
		return rt, errdefs.Errorf(errdefs.CodeRequest, "read recovery configuration: %w", err)
	}
	binary := c.String("binary")
	if binary == "" {
		self, err := os.Executable()
		if err != nil {
			return rt, fmt.Errorf("find own binary: %w", err)
		}
		binary = self
	}
	var err error
	if rt.Binary, err = filepath.Abs(binary); err != nil {
		return rt, fmt.Errorf("find --binary: %w", err)
	}
	if _, err := exec.LookPath(rt.Binary); err != nil {
		return rt, errdefs.Errorf(errdefs.CodeRequest, "%s can't be executed: %w", rt.Binary, err)
	}
	return rt, nil
}

// configure carries out, or shows, the plan for each engine. All are planned
// before anything is changed.
func (p *program) configure(c *cli.Context, engines []install.Engine, plan func(install.Engine) ([]install.Change, error)) error {
	var changes []install.Change
	var next []string
	for _, e := range engines {
		planned, err := plan(e)
		if err != nil {
			return err
		}
		changes = append(changes, planned...)
		if e.Next != "" && len(planned) > 0 {
			next = append(next, e.Next)
		}
	}
	for _, change := range changes {
		if err := change.WriteDiff(p.Out); err != nil {
			return err
		}
		if c.Bool("dry-run") {
			continue
		}
		if err := change.Apply(); err != nil {
			return err
		}
	}
	if c.Bool("dry-run") {
		return nil
	}
	for _, n := range next {
		fmt.Fprintf(p.Err, "to have it take effect: %s\n", n)
	}
	return nil
}

// chosenEngines are the engines that are named or, when none is, those for which
// meant is true.
func chosenEngines(c *cli.Context, meant func(install.Engine) bool) []install.Engine {
	var named, others []install.Engine
	for _, e := range install.Engines() {
		if c.Bool(e.Name) {
			named = append(named, e)
		} else if meant(e) {
			others = append(others, e)
		}
	}
	if len(named) > 0 {
		return named
	}
	return others
}

func isThere(e install.Engine) bool {
	_, err := exec.LookPath(e.Program)
	return err == nil
}
