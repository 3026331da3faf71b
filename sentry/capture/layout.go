package capture

import "runsc-recover/checkpoint/pageindex"

const (
	blockShift = 11
	blockPages = 1 << blockShift
)

// layout has the places of a memory file's pages in a checkpoint's pages file,
// and the hashes of their contents. Its memory is used again and again.
type layout struct {
	blocks []*block // by page number >> blockShift; nil where there is none
}

type block struct {
	// places are page numbers in the pages file, plus 1; 0 for a page that
	// isn't in it.
	places [blockPages]uint32
	sums   [blockPages]uint64
}

// clear forgets all places. A sum without a place means nothing.
func (l *layout) clear() {
	for _, b := range l.blocks {
		if b != nil {
			clear(b.places[:])
		}
	}
}

// at returns the block of a page, nil when there is none.
func (l *layout) at(page uint64) *block {
	if i := page >> blockShift; i < uint64(len(l.blocks)) {
		return l.blocks[i]
	}
	return nil
}

// make returns the block of a page.
func (l *layout) make(page uint64) *block {
	i := page >> blockShift
	if need := int(i) + 1; need > len(l.blocks) {
		l.blocks = append(l.blocks, make([]*block, need-len(l.blocks))...)
	}
	if l.blocks[i] == nil {
		l.blocks[i] = new(block)
	}
	return l.blocks[i]
}

// set notes the places of pages that were loaded.
func (l *layout) set(r pageindex.LoadedRun, sums []uint64) {
	for n := range r.Pages {
		b, i := l.make(r.Page+n), (r.Page+n)%blockPages
		b.places[i], b.sums[i] = uint32(r.Place+n+1), sums[r.Place+n]
	}
}

// pages is the number of the last page that may have a place, plus 1.
func (l *layout) pages() uint64 { return uint64(len(l.blocks)) * blockPages }

// blockRun is pages of a block that follow each other.
type blockRun struct{ first, pages uint64 }

// runs returns the pages that have places.
func (b *block) runs() []blockRun {
	var out []blockRun
	for i, place := range b.places {
		switch n := len(out); {
		case place == 0:
		case n > 0 && out[n-1].first+out[n-1].pages == uint64(i):
			out[n-1].pages++
		default:
			out = append(out, blockRun{uint64(i), 1})
		}
	}
	return out
}
