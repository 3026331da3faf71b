package pagepool

import (
	"os"

	"runsc-recover/checkpoint/pageindex"
)

// Segment describes a segment to tests and to diagnosis.
type Segment struct {
	ID    uint64
	Pages int   // all pages of the segment
	Live  int   // of these, referenced ones
	Taken int64 // bytes of the file system or of memory
	Stuck bool  // compaction couldn't read the segment
}

// Segments describes all segments.
func (p *Pool) Segments() []Segment {
	p.mu.RLock()
	defer p.mu.RUnlock()
	var all []Segment
	for _, s := range p.segments {
		all = append(all, Segment{s.id, len(s.sums), int(s.live), s.taken(), s.stuck})
	}
	return all
}

// Stored locates the stored bytes of the page at an address, for tests that
// damage them: the page's own, or those of its frame. The pool keeps ownership
// of the file. Errors: ErrDamaged when the page is missing.
func (p *Pool) Stored(address uint64) (f *os.File, at, size int64, err error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	err = p.extents.each(pageindex.Run{Page: address, Pages: 1}, func(e extent) error {
		f, at, size = e.seg.f, int64(e.at*pageSize), pageSize
		if fs := e.seg.frames; fs != nil {
			at, size = fs.span(e.at / framePages)
		}
		return nil
	})
	return f, at, size, err
}
