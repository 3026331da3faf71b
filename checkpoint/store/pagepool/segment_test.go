package pagepool

import (
	"slices"
	"testing"

	"runsc-recover/test/expect"
)

func TestReferences(t *testing.T) {
	s := &segment{refs: make([]uint32, 10)}
	s.hold(0, 10)
	s.hold(3, 2)
	expect.Equal(t, "live", s.live, 10)
	type run struct{ at, pages uint64 }
	for _, c := range []struct {
		at, pages uint64
		freed     []run
		live      uint64
	}{
		{0, 1, []run{{0, 1}}, 9},
		{1, 6, []run{{1, 2}, {5, 2}}, 5},
		{3, 2, []run{{3, 2}}, 3},
		{9, 1, []run{{9, 1}}, 2},
		{7, 2, []run{{7, 2}}, 0},
	} {
		var freed []run
		s.release(c.at, c.pages, func(at, pages uint64) { freed = append(freed, run{at, pages}) })
		if !slices.Equal(freed, c.freed) {
			t.Errorf("released %d pages from %d on: freed %v, want %v", c.pages, c.at, freed, c.freed)
		}
		expect.Equal(t, "live", s.live, c.live)
	}
}

// Only frames without a referenced page may become holes.
func TestDeadFrames(t *testing.T) {
	// Three frames, the last of 8 pages, stored in 100, 50 and 30 bytes.
	const pages = 2*framePages + 8
	for name, c := range map[string]struct {
		live       []uint64
		at, pages  uint64
		start, end int64
	}{
		"all dead":              {nil, 0, pages, 0, 180},
		"one page of a frame":   {nil, 20, 1, 100, 150},
		"last frame":            {nil, pages - 1, 1, 150, 180},
		"frame with a live one": {[]uint64{17}, 20, 1, 0, 0},
		"first frame is live":   {[]uint64{0}, 1, pages - 1, 100, 180},
		"last frame is live":    {[]uint64{pages - 1}, 0, pages - 1, 0, 150},
		"both ends are live":    {[]uint64{0, pages - 1}, 1, pages - 2, 100, 150},
		"neighbours are live":   {[]uint64{15, 32}, 16, 16, 100, 150},
		"two live frames":       {[]uint64{0, 16}, 15, 2, 0, 0},
	} {
		s := &segment{refs: make([]uint32, pages), frames: &frames{ends: []int64{100, 150, 180}}}
		for _, page := range c.live {
			s.hold(page, 1)
		}
		start, end := s.deadFrames(c.at, c.pages)
		if start != c.start || end != c.end {
			t.Errorf("%s: %d to %d, want %d to %d", name, start, end, c.start, c.end)
		}
	}
}

// The cache keeps the frames used last, and forgets those of a segment.
func TestFrameCache(t *testing.T) {
	var c frameCache
	a, b := &segment{id: 1}, &segment{id: 2}
	for i := range uint64(cachedFrames) {
		c.put(a, i, []byte{byte(i), 100})
	}
	got := make([]byte, 1)
	expect.Equal(t, "first frame", c.get(got, a, 0, 1), true)
	expect.Equal(t, "byte", got[0], 100)
	c.put(b, 0, []byte{7})
	expect.Equal(t, "used frame", c.get(got, a, 0, 0), true)
	expect.Equal(t, "unused frame", c.get(got, a, 1, 0), false)
	c.forget(a)
	expect.Equal(t, "forgotten frame", c.get(got, a, 0, 0), false)
	expect.Equal(t, "other segment's frame", c.get(got, b, 0, 0), true)
	c.clear()
	expect.Equal(t, "cleared frame", c.get(got, b, 0, 0), false)
}
