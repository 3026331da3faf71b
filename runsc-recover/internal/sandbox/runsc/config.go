package runsc

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"gvisor.dev/gvisor/pkg/log"
	"gvisor.dev/gvisor/runsc/config"
	"gvisor.dev/gvisor/runsc/flag"

	policy "runsc-recover/checkpoint/config"
	"runsc-recover/oci/specconv"
	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/sentry/agent"
	"runsc-recover/sentry/platform"
)

// NewConfig returns gVisor's configuration for a sandbox. agentConfig is the path
// of the agent's configuration; empty for a process that only talks to a sandbox,
// which needs no more of opts than the gVisor root directory and the stack.
func NewConfig(opts sandbox.BootOptions, agentConfig string) (*config.Config, error) {
	flags := flag.NewFlagSet("gvisor", flag.ContinueOnError)
	config.RegisterFlags(flags)
	settings := map[string]string{
		"root":     opts.Root,
		"network":  string(opts.NetworkStack),
		"platform": platform.Name,
		"rootless": fmt.Sprint(opts.Rootless),
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
		"net-raw": fmt.Sprint(opts.NetworkStack != policy.NetworkHost),
		// A seccomp profile of the spec holds in the sandbox too.
		"oci-seccomp":     "true",
		"host-settings":   "ignore",
		"pod-init-config": agentConfig,
	}
	if opts.Config.Tracking == policy.TrackingContents {
		settings["platform"] = platform.NameUnwatched
	}
	if slices.ContainsFunc(opts.Containers, reachesSockets) {
		settings["host-uds"] = "open"
	}
	if opts.LogDir != "" {
		settings["debug"] = "true"
		settings["debug-log"] = filepath.Join(opts.LogDir, "gvisor.%COMMAND%.log")
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

// reachesSockets reports whether a container must connect to sockets in its bind
// mounts.
func reachesSockets(c sandbox.ContainerOptions) bool { return specconv.ReachesSockets(c.Spec) }

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
