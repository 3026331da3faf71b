package capture

import (
	"github.com/cespare/xxhash/v2"

	"runsc-recover/checkpoint/pageindex"
)

// Memory is a memory file of a sandbox that was restored.
type Memory struct {
	FD   int
	Size uint64
	// Map returns the sentry's mapping of a range that is within a block of
	// 8 MiB.
	Map func(offset, length uint64) ([]byte, error)
}

// Adopt makes checkpoint seq, from which this sandbox was restored, the base of
// the next capture. The program may be running: a page that isn't in memory as
// it was loaded is suspected.
//
// Adopt looks at the pages of the files in memory, which a Tracker watches from
// then on; of other files, all pages are suspected.
func (c *Capturer) Adopt(seq uint64, l pageindex.Loaded, memory ...Memory) error {
	c.forget()
	c.pendingSeq = 0
	for _, loaded := range l.Files {
		f := &file{}
		for _, r := range loaded.Runs {
			f.base.set(r, l.Sums)
		}
		f.suspects.Add(0, f.base.pages())
		c.files[fileID{loaded.Dev, loaded.Ino}] = f
	}
	for _, m := range memory {
		if err := c.compare(m); err != nil {
			c.forget()
			return err
		}
	}
	c.baseSeq = seq
	return nil
}

// compare looks at all pages of a file, of which the Tracker is told before: it
// reports pages that are written later.
func (c *Capturer) compare(m Memory) error {
	id, err := identify(m.FD)
	if err != nil {
		return err
	}
	f := c.files[id]
	if c.tracker == nil || f == nil {
		return nil
	}
	s := &source{file: f, watch: c.tracker.Begin(id.ino, m.FD)}
	f.suspects.Clear()
	for i, base := range f.base.blocks {
		if base == nil {
			continue
		}
		for _, r := range base.runs() {
			page := uint64(i)<<blockShift + r.first
			b, err := m.Map(page<<pageShift, r.pages<<pageShift)
			if err != nil {
				return err
			}
			b = s.view(page<<pageShift, b)
			for n := range r.pages {
				if xxhash.Sum64(b[n<<pageShift:(n+1)<<pageShift]) != base.sums[r.first+n] {
					f.suspects.Add(page+n, 1)
				}
			}
		}
	}
	return nil
}
