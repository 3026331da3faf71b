package capture

import "math/bits"

// Bitmap is a set of page numbers. The zero value is empty.
type Bitmap struct {
	words []uint64
}

// Add adds pages to the set.
func (b *Bitmap) Add(page, pages uint64) {
	if pages == 0 {
		return
	}
	b.grow(page + pages)
	first, last := page/64, (page+pages-1)/64
	head := ^uint64(0) << (page % 64)
	tail := ^uint64(0) >> (63 - (page+pages-1)%64)
	if first == last {
		b.words[first] |= head & tail
		return
	}
	b.words[first] |= head
	for i := first + 1; i < last; i++ {
		b.words[i] = ^uint64(0)
	}
	b.words[last] |= tail
}

func (b *Bitmap) grow(pages uint64) {
	if need := int((pages + 63) / 64); need > len(b.words) {
		b.words = append(b.words, make([]uint64, need-len(b.words))...)
	}
}

// Has reports whether a page is in the set.
func (b *Bitmap) Has(page uint64) bool {
	i := page / 64
	return i < uint64(len(b.words)) && b.words[i]>>(page%64)&1 != 0
}

// next returns the first page from page on that is in the set, or end.
func (b *Bitmap) next(page, end uint64) uint64 {
	for page < end {
		i := page / 64
		if i >= uint64(len(b.words)) {
			return end
		}
		if w := b.words[i] >> (page % 64); w != 0 {
			return min(page+uint64(bits.TrailingZeros64(w)), end)
		}
		page = (i + 1) * 64
	}
	return end
}

// Each calls f with the runs of pages from first to end that are in the set.
func (b *Bitmap) Each(first, end uint64, f func(page, pages uint64)) {
	for page := b.next(first, end); page < end; page = b.next(page, end) {
		start := page
		for page < end && b.Has(page) {
			page++
		}
		f(start, page-start)
	}
}

// Clear empties the set and keeps its memory.
func (b *Bitmap) Clear() { clear(b.words) }

// Intersect takes out what another set hasn't.
func (b *Bitmap) Intersect(other *Bitmap) {
	n := min(len(b.words), len(other.words))
	for i := range n {
		b.words[i] &= other.words[i]
	}
	clear(b.words[n:])
}

// Merge adds another set.
func (b *Bitmap) Merge(other *Bitmap) {
	b.grow(uint64(len(other.words)) * 64)
	for i, w := range other.words {
		b.words[i] |= w
	}
}
