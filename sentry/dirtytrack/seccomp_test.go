package dirtytrack

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gvisor.dev/gvisor/pkg/sentry/platform"
	"gvisor.dev/gvisor/pkg/sentry/platform/systrap"
	filter "gvisor.dev/gvisor/runsc/boot/filter/config"
)

// TestFiltersAreTheTwoCalls: a sandbox that is watched may ask the host for two
// calls more, on two descriptors, than one of plain runsc.
func TestFiltersAreTheTwoCalls(t *testing.T) {
	plain := &systrap.Systrap{}
	tracker := &Tracker{watcher: &watcher{uffd: 701, pagemap: 702}}
	before, after := rules(plain.SeccompInfo()), rules(tracker.Wrap(plain).SeccompInfo())
	if len(before) < 50 || len(before) != len(after) {
		t.Fatalf("%d system calls are allowed, and %d by plain runsc", len(after), len(before))
	}
	changed := 0
	for i, rule := range after {
		if rule == before[i] {
			continue
		}
		changed++
		want := []string{
			fmt.Sprintf("arg[0] == %#x && arg[1] == %#x", 701, uint64(uffdioRegister)),
			fmt.Sprintf("arg[0] == %#x && arg[1] == %#x", 702, uint64(pagemapScan)),
		}
		if got := beyond(rule, before[i]); !slices.Equal(got, want) {
			t.Errorf("beyond plain runsc's there is %q, want %q", got, want)
		}
	}
	if changed != 1 {
		t.Errorf("%d rules differ from plain runsc's", changed)
	}
}

// beyond lists the alternatives of a rule that plain doesn't have.
func beyond(rule, plain string) []string {
	alternatives := func(s string) []string { return regexp.MustCompile(`arg\[[^()]*`).FindAllString(s, -1) }
	return slices.DeleteFunc(alternatives(rule), func(a string) bool { return slices.Contains(alternatives(plain), a) })
}

// rules lists a sandbox's permissions on the host, a system call a line.
func rules(p platform.SeccompInfo) []string {
	allowed, _ := filter.Rules(filter.Options{Platform: p, ControllerFD: 5})
	lines := strings.Split(strings.TrimSpace(allowed.String()), "\n")
	slices.Sort(lines)
	return lines
}
