package flags

import (
	"math"
	"reflect"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestParseLimit(t *testing.T) {
	size := limit{size: true, min: -1, max: math.MaxInt64}
	plain := limit{min: 10, max: 1000}
	for _, c := range []struct {
		limit limit
		in    string
		want  int64
		ok    bool
	}{
		{size, "4096", 4096, true},
		{size, "-1", -1, true},
		{size, "5k", 5 << 10, true},
		{size, "5KB", 5 << 10, true},
		{size, "5MiB", 5 << 20, true},
		{size, "3g", 3 << 30, true},
		{size, "1t", 1 << 40, true},
		{size, "7b", 7, true},
		{size, "-2", 0, false},
		{size, "9000000t", 0, false},
		{size, "1.5g", 3 << 29, true},
		{size, "9223372036854775807", math.MaxInt64, true},
		{size, "9223372036854775808", 0, false},
		{size, "-5k", 0, false},
		{size, "5kk", 0, false},
		{size, "5x", 0, false},
		{size, "nan", 0, false},
		{size, "infg", 0, false},
		{size, "", 0, false},
		{size, "g", 0, false},
		{size, "-9223372036854775808k", 0, false},
		{plain, "10", 10, true},
		{plain, "9", 0, false},
		{plain, "1001", 0, false},
		{plain, "10k", 0, false},
	} {
		got, err := c.limit.parse(c.in)
		if (err == nil) != c.ok || c.ok && got != c.want {
			t.Errorf("%q: %d, %v", c.in, got, err)
		}
	}
}

// TestEveryLimitIsSet sets each option alone: something must come of it, and
// never the same thing twice.
func TestEveryLimitIsSet(t *testing.T) {
	var seen []specs.LinuxResources
	for _, l := range limits() {
		var r specs.LinuxResources
		l.set(&r, 100)
		if reflect.DeepEqual(r, specs.LinuxResources{}) {
			t.Errorf("%s sets nothing", l.name)
		}
		for _, other := range seen {
			if reflect.DeepEqual(r, other) {
				t.Errorf("%s sets what another option does", l.name)
			}
		}
		seen = append(seen, r)
	}
}
