package specconv

import (
	"fmt"
	"os"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// warn returns the warnings about parts of a spec that a sandbox doesn't have, or
// has otherwise.
func warn(spec *specs.Spec, isSocket func(path string) bool) (warnings []string) {
	for _, m := range spec.Mounts {
		if isSocket(m.Source) && !ReachesSockets(spec) {
			warnings = append(warnings, fmt.Sprintf("the host's unix socket %s can't be connected to from a sandbox", m.Source))
		}
	}
	if spec.Linux == nil {
		return warnings
	}
	var devices []string
	for _, d := range spec.Linux.Devices {
		devices = append(devices, d.Path)
	}
	if len(devices) > 0 {
		warnings = append(warnings, fmt.Sprintf("the host's devices aren't passed on to a sandbox, which has gVisor's: %s", strings.Join(devices, ", ")))
	}
	if r := spec.Linux.Resources; r != nil && r.Pids != nil && r.Pids.Limit > 0 && r.Pids.Limit < minPids {
		warnings = append(warnings, fmt.Sprintf("the pids limit of %d is raised to %d, since gVisor's threads on the host are counted", r.Pids.Limit, minPids))
	}
	return warnings
}

func isSocket(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.Mode()&os.ModeSocket != 0
}
