package capture

import (
	"math/rand/v2"
	"testing"
)

func TestBitmap(t *testing.T) {
	random := rand.New(rand.NewPCG(13, 14))
	for range 300 {
		var b Bitmap
		var want [300]bool
		for range random.IntN(5) {
			page := random.Uint64N(300)
			pages := random.Uint64N(300 - page + 1)
			b.Add(page, pages)
			for p := page; p < page+pages; p++ {
				want[p] = true
			}
		}
		for p := range uint64(300) {
			if b.Has(p) != want[p] {
				t.Fatalf("page %d: %v", p, b.Has(p))
			}
			next := p
			for next < 300 && !want[next] {
				next++
			}
			if got := b.next(p, 300); got != next {
				t.Fatalf("next from %d is %d, want %d", p, got, next)
			}
		}
	}
}
