package runsc

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"gvisor.dev/gvisor/pkg/log"
	"gvisor.dev/gvisor/runsc/config"
	"gvisor.dev/gvisor/runsc/flag"

	"runsc-recover/sentry/agent"
	"runsc-recover/sentry/platform"
)

// ConfigOptions is the part of gVisor's configuration that differs between
// sandboxes of this driver.
type ConfigOptions struct {
	// Root is the gVisor root directory.
	Root string
	// Network is "sandbox", "none" or "host".
	Network string
	// Debug writes gVisor's logs into DebugDir.
	Debug    bool
	DebugDir string
	Rootless bool
	// Unwatched has changed pages found by comparing contents.
	Unwatched bool
	// HostSockets lets the program connect to unix sockets in its bind mounts.
	HostSockets bool
	// PodInitConfig is the path of the agent's configuration; empty for a
	// process that only talks to a sandbox.
	PodInitConfig string
}

// NewConfig returns gVisor's configuration.
func NewConfig(o ConfigOptions) (*config.Config, error) {
	flags := flag.NewFlagSet("gvisor", flag.ContinueOnError)
	config.RegisterFlags(flags)
	settings := map[string]string{
		"root":     o.Root,
		"network":  o.Network,
		"platform": platform.Name,
		"rootless": fmt.Sprint(o.Rootless),
		// The supervisor and all that it starts are in the container's cgroup.
		"ignore-cgroups": "true",
		// The upper layer of the rootfs is part of a checkpoint and leaves
		// nothing on the host.
		"overlay2": "root:memory",
		// A connection that carried nothing since the checkpoint goes on.
		"net-disconnect-ok":       "false",
		"allow-connected-on-save": "true",
		// CAP_NET_RAW of the spec holds in the sandbox's own network stack, and
		// not in the host's.
		"net-raw": fmt.Sprint(o.Network != "host"),
		// A seccomp profile of the spec holds in the sandbox too.
		"oci-seccomp":     "true",
		"host-settings":   "ignore",
		"pod-init-config": o.PodInitConfig,
	}
	if o.Unwatched {
		settings["platform"] = platform.NameUnwatched
	}
	if o.HostSockets {
		settings["host-uds"] = "open"
	}
	if o.Debug {
		settings["debug"] = "true"
		settings["debug-log"] = filepath.Join(o.DebugDir, "gvisor.%COMMAND%.log")
	}
	for name, value := range settings {
		if err := flags.Set(name, value); err != nil {
			return nil, fmt.Errorf("set gVisor's flag %s to %q: %w", name, value, err)
		}
	}
	conf, err := config.NewFromFlags(flags)
	if err != nil {
		return nil, fmt.Errorf("configure gVisor: %w", err)
	}
	return conf, nil
}

// writeFile writes a small private file that a sandbox is booted with.
func writeFile(path string, b []byte) error {
	if err := os.WriteFile(path, b, 0o600); err != nil {
		return fmt.Errorf("write sandbox configuration: %w", err)
	}
	return nil
}

// Register prepares a process to create sandboxes: it makes the agent known
// to gVisor, and keeps gVisor's log off stderr, which belongs to the container.
// It must be called once, before anything else of this package.
func Register() {
	agent.Register()
	log.SetTarget(&log.GoogleEmitter{Writer: &log.Writer{Next: io.Discard}})
}
