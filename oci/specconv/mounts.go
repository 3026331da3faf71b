package specconv

import (
	"path/filepath"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/oci"
)

// adaptMounts changes a container's mounts for gVisor without a change of
// meaning: sources of bind mounts become absolute, and recursive options become
// those of one mount, since mounts below a source on the host are part of the
// one mount that a sandbox sees.
func adaptMounts(mounts []specs.Mount, bundle string) {
	for i := range mounts {
		m := &mounts[i]
		if oci.IsBind(*m) {
			m.Type = "bind" // by its options alone, as others take it
		}
		if m.Type == "bind" && !filepath.IsAbs(m.Source) {
			m.Source = filepath.Join(bundle, m.Source)
		}
		for j, o := range m.Options {
			m.Options[j] = withoutRecursion(o)
		}
	}
}

// withoutRecursion returns the option for one mount of a recursive one, and
// any other as it is.
func withoutRecursion(option string) string {
	flag, ok := strings.CutPrefix(option, "r")
	if !ok || !slices.Contains([]string{
		"ro", "rw", "nosuid", "suid", "nodev", "dev", "noexec", "exec", "noatime", "atime",
		"nodiratime", "diratime", "relatime", "norelatime", "strictatime", "nostrictatime",
	}, flag) {
		return option
	}
	return flag
}
