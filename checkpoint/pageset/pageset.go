// Package pageset is sets of pages, as bitmaps: of a memory file in a sandbox,
// of a segment in a store.
//
// It must not know whose pages they are. A set belongs to one goroutine at a
// time; the package has no locks and starts no goroutines.
package pageset

import (
	"iter"
	"math/bits"
)

// Set is a set of page numbers. The zero value is empty. A set takes a bit for
// each page up to the highest that was ever in it.
type Set struct {
	words []uint64
}

// Add adds a run of pages. The caller bounds the numbers, and with them the
// set's memory.
func (s *Set) Add(page, pages uint64) {
	if pages == 0 {
		return
	}
	s.grow(page + pages)
	first, last := page/64, (page+pages-1)/64
	head := ^uint64(0) << (page % 64)
	tail := ^uint64(0) >> (63 - (page+pages-1)%64)
	if first == last {
		s.words[first] |= head & tail
		return
	}
	s.words[first] |= head
	for i := first + 1; i < last; i++ {
		s.words[i] = ^uint64(0)
	}
	s.words[last] |= tail
}

// grow makes room for the pages below a number.
func (s *Set) grow(pages uint64) {
	if need := int((pages + 63) / 64); need > len(s.words) {
		s.words = append(s.words, make([]uint64, need-len(s.words))...)
	}
}

// Has reports whether a page is in the set.
func (s *Set) Has(page uint64) bool {
	i := page / 64
	return i < uint64(len(s.words)) && s.words[i]>>(page%64)&1 != 0
}

// Next returns the first page of the set in [page, end), or end.
func (s *Set) Next(page, end uint64) uint64 {
	for page < end {
		i := page / 64
		if i >= uint64(len(s.words)) {
			return end
		}
		if w := s.words[i] >> (page % 64); w != 0 {
			return min(page+uint64(bits.TrailingZeros64(w)), end)
		}
		page = (i + 1) * 64
	}
	return end
}

// Runs are the longest runs of pages of the set in [first, end), in ascending
// order: the first page of each, and how many follow each other.
func (s *Set) Runs(first, end uint64) iter.Seq2[uint64, uint64] {
	return func(yield func(page, pages uint64) bool) {
		for page := s.Next(first, end); page < end; page = s.Next(page, end) {
			start := page
			for page < end && s.Has(page) {
				page++
			}
			if !yield(start, page-start) {
				return
			}
		}
	}
}

// Clear empties the set and keeps its memory.
func (s *Set) Clear() { clear(s.words) }

// Intersect takes out the pages that aren't in another set.
func (s *Set) Intersect(other *Set) {
	n := min(len(s.words), len(other.words))
	for i := range n {
		s.words[i] &= other.words[i]
	}
	clear(s.words[n:])
}

// Merge adds the pages of another set.
func (s *Set) Merge(other *Set) {
	s.grow(uint64(len(other.words)) * 64)
	for i, w := range other.words {
		s.words[i] |= w
	}
}
