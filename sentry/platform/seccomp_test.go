package platform

import (
	"slices"
	"strings"
	"testing"

	"gvisor.dev/gvisor/pkg/sentry/platform"
	"gvisor.dev/gvisor/pkg/sentry/platform/systrap"
	filter "gvisor.dev/gvisor/runsc/boot/filter/config"
)

// additions are the rules of the sandbox's host filter that plain runsc, on
// systrap, doesn't have. Each needs its reason here.
var additions = []string{}

// TestTheHostFilterIsPlainRunscs holds that a sandbox of ours may ask no more
// of the host than one of plain runsc, but for what additions names.
func TestTheHostFilterIsPlainRunscs(t *testing.T) {
	plain := &systrap.Systrap{}
	ours := &gated{Platform: plain}
	for _, hostNetwork := range []bool{false, true} {
		theirAllowed, theirDenied := describeRules(plain.SeccompInfo(), hostNetwork)
		allowed, denied := describeRules(ours.SeccompInfo(), hostNetwork)
		if len(theirAllowed) < 50 {
			t.Fatalf("plain runsc allows %d system calls only: the test reads the rules wrongly", len(theirAllowed))
		}
		for _, rule := range allowed {
			if !slices.Contains(theirAllowed, rule) && !slices.Contains(additions, rule) {
				t.Errorf("allowed beyond plain runsc: %s", rule)
			}
		}
		for _, rule := range theirDenied {
			if !slices.Contains(denied, rule) {
				t.Errorf("denied by plain runsc alone: %s", rule)
			}
		}
	}
}

// describeRules lists the rules of a sandbox's filter as text, one a system
// call.
func describeRules(p platform.SeccompInfo, hostNetwork bool) (allowed, denied []string) {
	a, d := filter.Rules(filter.Options{Platform: p, HostNetwork: hostNetwork, ControllerFD: 5})
	lines := func(s string) []string { return strings.Split(strings.TrimSpace(s), "\n") }
	return lines(a.String()), lines(d.String())
}
