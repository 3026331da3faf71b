// Package flags is the options and arguments of the command line: the options
// ahead of the command, the order in which callers of runc write options and
// arguments, and the reading of options that several commands have, or that
// describe a process or resource limits.
//
// It must not know containers, or the commands that read their options here.
package flags

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/urfave/cli/v2"

	"runsc-recover/checkpoint/config"
	"runsc-recover/oci/statedir"
)

// RecoverPrefix begins the name of each global option that sets a default of
// the recovery configuration.
const RecoverPrefix = "recover-"

// Globals are the values of the options ahead of the command.
type Globals struct {
	Root          string // absolute
	Log           string // absolute, "" for standard error
	LogFormat     string
	Debug         bool
	SystemdCgroup bool
	rootless      string // true, false or auto
	Network       string
	Recover       map[string]string // as given, by the configuration's names
}

// GlobalFlags are the options ahead of the command.
func GlobalFlags() []cli.Flag {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "root", Value: statedir.DefaultRoot, Usage: "directory that holds the containers' state; best on a tmpfs"},
		&cli.StringFlag{Name: "log", Usage: "append log lines to `FILE` (default: standard error)"},
		&cli.StringFlag{Name: "log-format", Value: "text", Usage: "format of the log: text or json"},
		&cli.BoolFlag{Name: "debug", Usage: "log what is done, too"},
		&cli.BoolFlag{Name: "systemd-cgroup", Usage: "cgroupsPath is \"slice:prefix:name\" and systemd makes the cgroup"},
		&cli.StringFlag{Name: "rootless", Value: "auto", Usage: "run without privileges on the host: true, false or auto"},
		&cli.StringFlag{Name: "network", Value: "sandbox", Usage: NetworkUsage + "; default for the annotation " + config.NetworkAnnotation},
		&cli.BoolFlag{Name: "version", Aliases: []string{"v"}, Usage: "print the version"},
		&cli.StringFlag{Name: "criu", Hidden: true, Usage: "ignored"},
	}
	for _, o := range config.Names() {
		flags = append(flags, &cli.StringFlag{
			Name:        RecoverPrefix + o.Name,
			DefaultText: o.Default,
			Usage:       o.Usage + "; default for the annotation " + config.AnnotationPrefix + o.Name,
		})
	}
	return flags
}

// ReadGlobals reads the options ahead of the command.
func ReadGlobals(c *cli.Context) (Globals, error) {
	g := Globals{
		LogFormat:     c.String("log-format"),
		Debug:         c.Bool("debug"),
		SystemdCgroup: c.Bool("systemd-cgroup"),
		rootless:      c.String("rootless"),
		Network:       c.String("network"),
		Recover:       map[string]string{},
	}
	for _, o := range config.Names() {
		if c.IsSet(RecoverPrefix + o.Name) {
			g.Recover[o.Name] = c.String(RecoverPrefix + o.Name)
		}
	}
	if err := checkWord("rootless", g.rootless, "true", "false", "auto"); err != nil {
		return g, err
	}
	if err := CheckNetwork(g.Network); err != nil {
		return g, err
	}
	var err error
	if g.Root, err = filepath.Abs(c.String("root")); err != nil {
		return g, fmt.Errorf("find root directory: %w", err)
	}
	if g.Log, err = AbsPath(c.String("log")); err != nil {
		return g, fmt.Errorf("find log: %w", err)
	}
	return g, nil
}

// Args are the options again, for another process of this binary.
func (g Globals) Args() []string {
	args := []string{
		"--root=" + g.Root, "--log=" + g.Log, "--log-format=" + g.LogFormat,
		fmt.Sprintf("--debug=%t", g.Debug), fmt.Sprintf("--systemd-cgroup=%t", g.SystemdCgroup),
		"--rootless=" + g.rootless, "--network=" + g.Network,
	}
	for _, name := range slices.Sorted(maps.Keys(g.Recover)) {
		args = append(args, "--"+RecoverPrefix+name+"="+g.Recover[name])
	}
	return args
}

// IsRootless reports whether containers run without privileges on the host: as
// --rootless says or, with auto, when this process's user isn't root.
func (g Globals) IsRootless() bool {
	return g.rootless == "true" || g.rootless == "auto" && os.Geteuid() != 0
}
