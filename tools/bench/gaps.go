package main

import (
	"fmt"
	"strings"
)

// gap is a time, in CLOCK_REALTIME nanoseconds, during which a guest didn't run.
type gap struct {
	start, length int64
}

// parseGaps reads the output of the guest "gap": the gaps and its last sign of
// life. Other lines are ignored.
func parseGaps(output string) (gaps []gap, lastTick int64, err error) {
	for line := range strings.Lines(output) {
		word, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch word {
		case "gap":
			var g gap
			if _, err := fmt.Sscanf(line, "gap %d %d", &g.start, &g.length); err != nil {
				return nil, 0, fmt.Errorf("read %q: %w", line, err)
			}
			gaps = append(gaps, g)
		case "tick":
			if _, err := fmt.Sscanf(line, "tick %d", &lastTick); err != nil {
				return nil, 0, fmt.Errorf("read %q: %w", line, err)
			}
		}
	}
	return gaps, lastTick, nil
}

// longest is the length of the longest gap that overlaps the time from start to
// end; 0 when there is none.
func longest(gaps []gap, start, end int64) int64 {
	var most int64
	for _, g := range gaps {
		if g.start < end && g.start+g.length > start {
			most = max(most, g.length)
		}
	}
	return most
}
