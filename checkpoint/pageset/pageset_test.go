package pageset

import (
	"math/rand/v2"
	"slices"
	"testing"
)

const testPages = 300

// randomSet returns a set of a few runs and the same set as a list of flags.
func randomSet(random *rand.Rand) (s Set, want [testPages]bool) {
	for range random.IntN(5) {
		page := random.Uint64N(testPages)
		pages := random.Uint64N(testPages - page + 1)
		s.Add(page, pages)
		for p := page; p < page+pages; p++ {
			want[p] = true
		}
	}
	return s, want
}

func expectPages(t *testing.T, s *Set, want [testPages]bool) {
	t.Helper()
	for p := range uint64(testPages) {
		if s.Has(p) != want[p] {
			t.Fatalf("page %d: %v", p, s.Has(p))
		}
	}
	if s.Has(1 << 40) {
		t.Fatal("a page beyond the last is in the set")
	}
}

func TestHasAndNext(t *testing.T) {
	random := rand.New(rand.NewPCG(13, 14))
	for range 300 {
		s, want := randomSet(random)
		expectPages(t, &s, want)
		for p := range uint64(testPages) {
			next := p
			for next < testPages && !want[next] {
				next++
			}
			if got := s.Next(p, testPages); got != next {
				t.Fatalf("next from %d is %d, want %d", p, got, next)
			}
		}
	}
}

func TestRuns(t *testing.T) {
	var s Set
	s.Add(2, 3)
	s.Add(5, 1) // goes on
	s.Add(63, 130)
	for _, c := range []struct {
		first, end uint64
		want       [][2]uint64
	}{
		{0, testPages, [][2]uint64{{2, 4}, {63, 130}}},
		{3, 64, [][2]uint64{{3, 3}, {63, 1}}},
		{6, 63, nil},
		{100, 100, nil},
		{1000, 2000, nil},
	} {
		var got [][2]uint64
		for page, pages := range s.Runs(c.first, c.end) {
			got = append(got, [2]uint64{page, pages})
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("runs from %d to %d are %v, want %v", c.first, c.end, got, c.want)
		}
	}
	for page, pages := range s.Runs(0, testPages) {
		if page != 2 || pages != 4 {
			t.Errorf("the first run is %d pages from %d on", pages, page)
		}
		break
	}
}

// Sets of different lengths are merged and intersected page by page.
func TestMergeIntersectClear(t *testing.T) {
	random := rand.New(rand.NewPCG(15, 16))
	for range 300 {
		a, inA := randomSet(random)
		b, inB := randomSet(random)
		var both, any Set
		both.Merge(&a)
		both.Intersect(&b)
		any.Merge(&a)
		any.Merge(&b)
		var wantBoth, wantAny [testPages]bool
		for p := range inA {
			wantBoth[p], wantAny[p] = inA[p] && inB[p], inA[p] || inB[p]
		}
		expectPages(t, &both, wantBoth)
		expectPages(t, &any, wantAny)
		expectPages(t, &a, inA)
		a.Clear()
		expectPages(t, &a, [testPages]bool{})
	}
}
