package pagepool

import (
	"slices"
	"testing"
)

func TestChoose(t *testing.T) {
	const mib = 1 << 20
	// use is a segment of which a share is referred to.
	use := func(taken int64, live float64, pages uint64) segmentUse {
		return segmentUse{taken, int64(float64(taken) * live), pages, uint64(float64(pages) * live)}
	}
	many := func(n int, u segmentUse) []segmentUse { return slices.Repeat([]segmentUse{u}, n) }
	first := func(n int) []int {
		var all []int
		for i := range n {
			all = append(all, i)
		}
		return all
	}
	for name, c := range map[string]struct {
		all      []segmentUse
		thorough bool
		want     []int
	}{
		"nothing":                {},
		"all live":               {all: many(3, use(64*mib, 1, 16384))},
		"little is wasted":       {all: many(3, use(64*mib, 0.8, 16384))},
		"a small store's waste":  {all: many(3, use(5*mib, 0.1, 1280))},
		"the worst":              {all: []segmentUse{use(64*mib, 1, 16384), use(64*mib, 0.1, 16384)}, want: []int{1}},
		"as many as fit":         {all: many(4, use(64*mib, 0.4, 16384)), want: []int{0, 1}},
		"one that is full stays": {all: []segmentUse{use(64*mib, 0.01, 16384), use(64*mib, 0.9, 16384)}, want: []int{0}},
		"many":                   {all: many(64, use(mib, 1, 256))},
		"too many":               {all: many(65, use(mib/4, 1, 64)), want: first(33)},
		"too many, larger":       {all: many(90, use(8*mib, 1, 2048)), want: first(8)},
		"many that are full":     {all: many(190, use(64*mib, 1, 16384))},
		"dead pages, thorough":   {all: []segmentUse{use(mib, 1, 256), use(mib, 0.5, 256)}, thorough: true, want: []int{1}},
		"none dead, thorough":    {all: many(70, use(mib, 1, 256)), thorough: true},
	} {
		if got := choose(c.all, c.thorough); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
