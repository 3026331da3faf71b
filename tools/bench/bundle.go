package main

import (
	"encoding/json"
	"os"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// program is a process for a container, with its options.
type program struct {
	args    []string
	recover map[string]string // options of recovery; plain runsc ignores them
	netns   string            // path of a network namespace; empty for a new one
	host    bool              // the host's programs are mounted, read-only
}

// guest is the bench guest with arguments.
func guest(recover map[string]string, args ...string) program {
	return program{args: append([]string{"/guests/bench"}, args...), recover: recover}
}

// onRequest keeps the supervisor from taking checkpoints by itself. Each
// rollback is an episode, and the default for their rate is lower.
func onRequest() map[string]string {
	return map[string]string{"interval": "24h", "max-rate": "100000", "retain": "2"}
}

// write makes the program's bundle in dir.
func (p program) write(dir, guests string) error {
	for _, d := range []string{"proc", "dev", "tmp", "guests", "usr", "etc"} {
		if err := os.MkdirAll(filepath.Join(dir, "rootfs", d), 0o755); err != nil {
			return err
		}
	}
	s := p.spec()
	s.Mounts = append(s.Mounts, readOnly(guests, "/guests"))
	if p.host {
		for _, d := range []string{"bin", "sbin", "lib", "lib64"} {
			if err := os.Symlink("usr/"+d, filepath.Join(dir, "rootfs", d)); err != nil {
				return err
			}
		}
		s.Mounts = append(s.Mounts, readOnly("/usr", "/usr"), readOnly("/etc", "/etc"))
	}
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "config.json"), text, 0o644)
}

func readOnly(source, destination string) specs.Mount {
	return specs.Mount{Source: source, Destination: destination, Type: "bind", Options: []string{"rbind", "ro"}}
}

func (p program) spec() *specs.Spec {
	annotations := map[string]string{}
	for name, value := range p.recover {
		annotations["dev.runsc-recover."+name] = value
	}
	return &specs.Spec{
		Version:     "1.2.0",
		Root:        &specs.Root{Path: "rootfs"},
		Annotations: annotations,
		Process:     &specs.Process{Args: p.args, Env: []string{"PATH=/usr/bin:/bin"}, Cwd: "/"},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc"},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs"},
			{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs"},
		},
		Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{
			{Type: specs.PIDNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace},
			{Type: specs.MountNamespace}, {Type: specs.NetworkNamespace, Path: p.netns},
		}},
	}
}
