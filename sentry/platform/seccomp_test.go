package platform

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"gvisor.dev/gvisor/pkg/seccomp"
	"gvisor.dev/gvisor/pkg/seccomp/precompiledseccomp"
	"gvisor.dev/gvisor/pkg/sentry/platform"
	"gvisor.dev/gvisor/pkg/sentry/platform/systrap"
	filter "gvisor.dev/gvisor/runsc/boot/filter/config"
)

// added is a system call that no sandbox asks the host for.
const added = unix.SYS_ACCT

// adding is a platform that asks the host for one system call more.
type adding struct{ platform.Platform }

func (a adding) SeccompInfo() platform.SeccompInfo { return addingInfo{a.Platform.SeccompInfo()} }

type addingInfo struct{ platform.SeccompInfo }

func (i addingInfo) SyscallFilters(vars precompiledseccomp.Values) seccomp.SyscallRules {
	rules := i.SeccompInfo.SyscallFilters(vars).Copy()
	rules.Merge(seccomp.MakeSyscallRules(map[uintptr]seccomp.SyscallRule{added: seccomp.MatchAll{}}))
	return rules
}

// TestHostFilter: a sandbox of ours may ask no more of the host than one of
// plain runsc and the wrapped platform, and is denied no less. The second case
// shows that an addition would be seen.
func TestHostFilter(t *testing.T) {
	plain := &systrap.Systrap{}
	never := func() bool { return false }
	for _, c := range []struct {
		name       string
		wrap       func(platform.Platform) platform.Platform
		additional int
	}{
		{"held and mapped on demand", nil, 0},
		{"with a system call more", func(p platform.Platform) platform.Platform { return adding{p} }, 1},
	} {
		ours := Options{Gate: NewGate(nil), Loading: never, Wrap: c.wrap}.around(plain)
		for _, hostNetwork := range []bool{false, true} {
			theirAllowed, theirDenied := hostRules(plain.SeccompInfo(), hostNetwork)
			allowed, denied := hostRules(ours.SeccompInfo(), hostNetwork)
			if len(theirAllowed) < 50 {
				t.Fatalf("plain runsc allows %d system calls only: the rules are read wrongly", len(theirAllowed))
			}
			if got := beyond(allowed, theirAllowed); len(got) != c.additional {
				t.Errorf("%s: allowed beyond plain runsc: %q", c.name, got)
			}
			if got := beyond(theirDenied, denied); len(got) > 0 {
				t.Errorf("%s: denied by plain runsc alone: %q", c.name, got)
			}
		}
	}
}

// beyond returns the rules of one list that another lacks.
func beyond(rules, others []string) []string {
	return slices.DeleteFunc(slices.Clone(rules), func(r string) bool { return slices.Contains(others, r) })
}

// hostRules lists the rules of a sandbox's filter as text, a line for each
// system call.
func hostRules(p platform.SeccompInfo, hostNetwork bool) (allowed, denied []string) {
	a, d := filter.Rules(filter.Options{Platform: p, HostNetwork: hostNetwork, ControllerFD: 5})
	lines := func(s string) []string { return strings.Split(strings.TrimSpace(s), "\n") }
	return lines(a.String()), lines(d.String())
}
