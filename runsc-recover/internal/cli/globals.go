package cli

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

// recoverPrefix begins the name of each global option that sets a default of
// the recovery configuration.
const recoverPrefix = "recover-"

// globals are the options before the command.
type globals struct {
	root          string // absolute
	log           string // absolute, "" for standard error
	logFormat     string
	debug         bool
	systemdCgroup bool
	rootless      string // true, false or auto
	network       string
	recover       map[string]string // as given, by the configuration's names
}

func globalFlags() []cli.Flag {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "root", Value: statedir.DefaultRoot, Usage: "directory that holds the containers' state; best on a tmpfs"},
		&cli.StringFlag{Name: "log", Usage: "append log lines to `FILE` (default: standard error)"},
		&cli.StringFlag{Name: "log-format", Value: "text", Usage: "format of the log: text or json"},
		&cli.BoolFlag{Name: "debug", Usage: "log what is done, too"},
		&cli.BoolFlag{Name: "systemd-cgroup", Usage: "cgroupsPath is \"slice:prefix:name\" and systemd makes the cgroup"},
		&cli.StringFlag{Name: "rootless", Value: "auto", Usage: "run without privileges on the host: true, false or auto"},
		&cli.StringFlag{Name: "network", Value: "sandbox", Usage: networkUsage + "; default for the annotation " + config.NetworkAnnotation},
		&cli.BoolFlag{Name: "version", Aliases: []string{"v"}, Usage: "print the version"},
		&cli.StringFlag{Name: "criu", Hidden: true, Usage: "ignored"},
	}
	for _, o := range config.Names() {
		flags = append(flags, &cli.StringFlag{
			Name:        recoverPrefix + o.Name,
			DefaultText: o.Default,
			Usage:       o.Usage + "; default for the annotation " + config.AnnotationPrefix + o.Name,
		})
	}
	return flags
}

// globalsOf reads the global options.
func globalsOf(c *cli.Context) (globals, error) {
	g := globals{
		logFormat:     c.String("log-format"),
		debug:         c.Bool("debug"),
		systemdCgroup: c.Bool("systemd-cgroup"),
		rootless:      c.String("rootless"),
		network:       c.String("network"),
		recover:       map[string]string{},
	}
	for _, o := range config.Names() {
		if c.IsSet(recoverPrefix + o.Name) {
			g.recover[o.Name] = c.String(recoverPrefix + o.Name)
		}
	}
	if err := checkWord("rootless", g.rootless, "true", "false", "auto"); err != nil {
		return g, err
	}
	if err := checkNetwork("--network", g.network); err != nil {
		return g, err
	}
	var err error
	if g.root, err = filepath.Abs(c.String("root")); err != nil {
		return g, fmt.Errorf("find root directory: %w", err)
	}
	if g.log, err = absOrEmpty(c.String("log")); err != nil {
		return g, fmt.Errorf("find log: %w", err)
	}
	return g, nil
}

// args are the options again, for a process of ours that this one starts.
func (g globals) args() []string {
	args := []string{
		"--root=" + g.root, "--log=" + g.log, "--log-format=" + g.logFormat,
		fmt.Sprintf("--debug=%t", g.debug), fmt.Sprintf("--systemd-cgroup=%t", g.systemdCgroup),
		"--rootless=" + g.rootless, "--network=" + g.network,
	}
	for _, name := range slices.Sorted(maps.Keys(g.recover)) {
		args = append(args, "--"+recoverPrefix+name+"="+g.recover[name])
	}
	return args
}

// isRootless decides what auto means.
func (g globals) isRootless() bool {
	return g.rootless == "true" || g.rootless == "auto" && os.Geteuid() != 0
}
