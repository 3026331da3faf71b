package schedule

import (
	"testing"

	"runsc-recover/checkpoint"
)

func TestShrink(t *testing.T) {
	const mib = 1 << 20
	three := []checkpoint.Manifest{{Seq: 4}, {Seq: 7}, {Seq: 9}}
	use := func(bytes, live int64) checkpoint.Usage {
		return checkpoint.Usage{Bytes: bytes * mib, Live: live * mib}
	}
	pinned := func(seqs ...checkpoint.Seq) map[checkpoint.Seq]bool {
		m := make(map[checkpoint.Seq]bool)
		for _, s := range seqs {
			m[s] = true
		}
		return m
	}
	for name, c := range map[string]struct {
		s       Store
		drop    checkpoint.Seq
		compact bool
	}{
		"no limit":                  {s: Store{Usage: use(1<<20, 1<<20), Manifests: three}},
		"within":                    {s: Store{Limit: 100 * mib, Usage: use(100, 100), Manifests: three}},
		"over":                      {s: Store{Limit: 100 * mib, Usage: use(101, 101), Manifests: three}, drop: 4},
		"the next would be over":    {s: Store{Limit: 100 * mib, Usage: use(90, 90), Coming: 11 * mib, Manifests: three}, drop: 4},
		"the oldest is pinned":      {s: Store{Limit: 100 * mib, Usage: use(101, 101), Manifests: three, Pinned: pinned(4)}, drop: 7},
		"all but the newest pinned": {s: Store{Limit: 100 * mib, Usage: use(101, 101), Manifests: three, Pinned: pinned(4, 7)}},
		"the last one":              {s: Store{Limit: 100 * mib, Usage: use(150, 150), Manifests: three[2:]}},
		"none":                      {s: Store{Limit: 100 * mib, Usage: use(150, 150)}},
		"much is dead":              {s: Store{Limit: 100 * mib, Usage: use(110, 60), Manifests: three}, compact: true},
		"little is dead":            {s: Store{Limit: 100 * mib, Usage: use(110, 90), Manifests: three}, drop: 4},
		"dead, but it was compacted": {
			s: Store{Limit: 100 * mib, Usage: use(110, 60), Manifests: three, Compacted: true}, drop: 4},
		"dead beside the last one": {s: Store{Limit: 100 * mib, Usage: use(110, 90), Manifests: three[2:]}, compact: true},
		"nothing helps":            {s: Store{Limit: 100 * mib, Usage: use(110, 90), Manifests: three[2:], Compacted: true}},
	} {
		got := Shrink(c.s)
		if got.Drop != c.drop || got.Compact != c.compact {
			t.Errorf("%s: %+v", name, got)
		}
		if acts := got.Drop != 0 || got.Compact; acts != (len(got.Reasons) > 0) {
			t.Errorf("%s: reasons %q", name, got.Reasons)
		}
	}
}
