package agent

import (
	"testing"
)

func TestClamp(t *testing.T) {
	for _, tc := range []struct{ limit, level, want uint32 }{{0, 7, 7}, {3, 2, 2}, {3, 3, 3}, {3, 4, 3}} {
		if got := (attachment{MaxLevel: tc.limit}).clamp(tc.level); got != tc.want {
			t.Errorf("level %d with limit %d: got %d", tc.level, tc.limit, got)
		}
	}
}
