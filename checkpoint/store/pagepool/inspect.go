package pagepool

import (
	"os"

	"runsc-recover/checkpoint/pageindex"
)

// Segment is a segment as inspection sees it.
type Segment struct {
	ID    uint64
	Pages int   // that it holds
	Live  int   // of these, those that are referred to
	Taken int64 // bytes of the file system or of memory
	Stuck bool  // it couldn't be rewritten
}

// Segments lists the segments.
func (p *Pool) Segments() []Segment {
	p.mu.RLock()
	defer p.mu.RUnlock()
	var all []Segment
	for _, s := range p.segments {
		all = append(all, Segment{s.id, len(s.sums), int(s.live), s.taken(), s.stuck})
	}
	return all
}

// Stored returns the bytes that are stored for the page at an address: the
// page's own, or its frame's. The file is the pool's.
func (p *Pool) Stored(address uint64) (f *os.File, at, size int64, err error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	err = p.eachLocked(pageindex.Run{Page: address, Pages: 1}, func(pl extent) error {
		f, at, size = pl.seg.f, int64(pl.at*pageSize), pageSize
		if fs := pl.seg.frames; fs != nil {
			frame := pl.at / framePages
			if at = 0; frame > 0 {
				at = fs.ends[frame-1]
			}
			size = fs.ends[frame] - at
		}
		return nil
	})
	return f, at, size, err
}
