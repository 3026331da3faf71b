package main

import (
	"context"
	"fmt"
	"os"
	"strings"
)

// rssGoal bounds the memory of a supervisor. Staging memory isn't mapped by the
// supervisor and so isn't in there.
func rssGoal(mib sample) goal { return atMost("most", mib.quantile(1), 40) }

// residentMiB is how much memory the container's process on the host has: of
// ours, the supervisor's.
func (c *container) residentMiB(ctx context.Context) (float64, error) {
	state, err := c.state(ctx)
	if err != nil {
		return 0, err
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", state.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			var kib float64
			if _, err := fmt.Sscan(rest, &kib); err != nil {
				return 0, fmt.Errorf("read %q: %w", line, err)
			}
			return kib / 1024, nil
		}
	}
	return 0, fmt.Errorf("process %d has no memory", state.Pid)
}
