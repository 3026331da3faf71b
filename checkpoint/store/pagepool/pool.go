// Package pagepool keeps the pages that checkpoints share, in segments.
//
// It must not know checkpoints or their manifests.
package pagepool

import (
	"cmp"
	"context"
	"errors"
	"os"
	"slices"
	"sync"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/pageindex"
	"runsc-recover/checkpoint/store/frame"
	"runsc-recover/checkpoint/store/lowprio"
)

// Pool keeps the pages of all checkpoints of a store, by addresses that are
// never used twice. An index refers to pages by address; a page stays as long
// as an index that is held refers to it. Where a page is can change: segments
// that are mostly holes are rewritten into one.
type Pool struct {
	files backing
	codec *frame.Codec // nil: pages aren't compressed
	cache frameCache
	// compacting is held while segments are rewritten, on aside; before mu.
	compacting sync.Mutex
	compactor  *compactor
	thread     *lowprio.Thread

	mu sync.RWMutex // for reading also while segments are read
	// The following are guarded by mu.

	next     uint64 // lowest address never used
	lastID   uint64
	segments []*segment
	extents  []extent // ascending
	users    int      // images and stagings that are open
	closed   bool
}

// backing is where segments are kept.
type backing interface {
	// create returns an empty file that nobody else sees.
	create() (*os.File, error)
	// write writes to such a file.
	write(f *os.File, b []byte, at int64) error
	// keep makes a complete segment last, under its id. addresses are those of
	// its pages, in their order.
	keep(s *segment, addresses []pageindex.Run) error
	// remove deletes a segment, kept or not. Its file stays open.
	remove(s *segment) error
}

func newPool(files backing, c *frame.Codec) *Pool {
	p := &Pool{files: files, codec: c, thread: lowprio.New()}
	p.compactor = newCompactor(p)
	return p
}

// Add keeps pages of a file, from its first on, and returns their addresses,
// which are held until release, and what they take. copied is told of those
// that it has read for the last time.
func (p *Pool) Add(ctx context.Context, from *os.File, pages uint64, copied func(at, pages uint64)) (added []pageindex.Run, stored int64, err error) {
	if pages == 0 {
		return nil, 0, nil
	}
	p.mu.Lock()
	added = []pageindex.Run{{Page: p.next, Pages: pages}}
	p.next += pages
	p.mu.Unlock()
	for at := uint64(0); at < pages; at += segmentPages {
		run := pageindex.Run{Page: added[0].Page + at, Pages: min(segmentPages, pages-at)}
		s, err := p.newSegment([]pageindex.Run{run}, func(w *segmentWriter) error { return w.copy(ctx, from, at, run.Pages, copied) })
		if err != nil {
			return nil, 0, errors.Join(err, p.Release([]pageindex.Run{{Page: added[0].Page, Pages: at}}))
		}
		stored += s.bytes
		s.ref(0, run.Pages, true, nil)
		p.adopt(s, []pageindex.Run{run})
	}
	return added, stored, nil
}

// adopt makes the pages of a segment known that was kept before. Nobody holds
// them yet.
func (p *Pool) adopt(s *segment, addresses []pageindex.Run) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.adoptLocked(s, addresses)
}

// Reserve notes that the addresses of an index are spoken for.
func (p *Pool) Reserve(index []pageindex.Run) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range index {
		p.next = max(p.next, r.End())
	}
}

// skipID notes that a segment's id is spoken for.
func (p *Pool) skipID(id uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lastID = max(p.lastID, id)
}

// Hold keeps the pages of an index until release. Pages that aren't there are
// passed over: verify finds them.
func (p *Pool) Hold(index []pageindex.Run) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range index {
		_ = p.eachLocked(r, func(pl extent) error {
			pl.seg.ref(pl.at, pl.pages, true, nil)
			return nil
		})
	}
}

// Release undoes a hold and gives back what nobody refers to any more.
func (p *Pool) Release(index []pageindex.Run) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var firstErr error
	for _, r := range index {
		_ = p.eachLocked(r, func(pl extent) error {
			pl.seg.ref(pl.at, pl.pages, false, func(at, pages uint64) {
				if pl.seg.live > 0 && !pl.seg.moving {
					firstErr = cmp.Or(firstErr, pl.seg.punch(at, pages))
				}
			})
			return nil
		})
	}
	return cmp.Or(firstErr, p.sweepLocked())
}

// sweepLocked removes the segments without a page that is referred to.
func (p *Pool) sweepLocked() error {
	var firstErr error
	p.segments = slices.DeleteFunc(p.segments, func(s *segment) bool {
		if s.live > 0 {
			return false
		}
		firstErr = cmp.Or(firstErr, p.removeLocked(s))
		return true
	})
	p.extents = slices.DeleteFunc(p.extents, func(pl extent) bool { return pl.seg.removed })
	return firstErr
}

// removeLocked deletes a segment. The caller takes it out of the lists.
func (p *Pool) removeLocked(s *segment) error {
	s.removed = true
	p.cache.forget(s)
	err := p.files.remove(s)
	if s.readers == 0 {
		err = cmp.Or(err, s.f.Close())
	}
	return err
}

// Trim gives back all that isn't held, after a store was opened.
func (p *Pool) Trim() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var firstErr error
	for _, s := range p.segments {
		firstErr = cmp.Or(firstErr, s.punchDead())
	}
	return cmp.Or(firstErr, p.sweepLocked())
}

// Usage is what the segments take, and what of it is referred to.
func (p *Pool) Usage() checkpoint.Usage {
	p.mu.RLock()
	defer p.mu.RUnlock()
	var u checkpoint.Usage
	for _, s := range p.segments {
		u.Bytes += s.taken()
		u.Live += s.liveBytes()
	}
	return u
}

// Bytes is what the pages of an index take, in bytes.
func (p *Pool) Bytes(index []pageindex.Run) int64 {
	p.mu.RLock()
	defer p.mu.RUnlock()
	bytes := int64(0)
	for _, r := range index {
		_ = p.eachLocked(r, func(pl extent) error {
			bytes += pl.seg.share(pl.pages)
			return nil
		})
	}
	return bytes
}

// Use is hold for as long as something is open: the files stay open with it.
func (p *Pool) Use(index []pageindex.Run) {
	p.Hold(index)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.users++
}

// Done undoes a use.
func (p *Pool) Done(index []pageindex.Run) error {
	err := p.Release(index)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.users--
	p.closeLocked()
	return err
}

// end ends compaction, and closes the files once nothing is open. It removes
// none.
func (p *Pool) Close() {
	p.compactor.stop()
	p.thread.End()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.closeLocked()
}

func (p *Pool) closeLocked() {
	if !p.closed || p.users > 0 {
		return
	}
	for _, s := range p.segments {
		s.f.Close()
	}
	p.segments, p.extents = nil, nil
}
