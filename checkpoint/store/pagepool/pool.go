// Package pagepool keeps the pages that the checkpoints of a store share.
//
// The package owns the pages, their references and the files they lie in. Each
// page has an address, which is never used twice. An index (package pageindex)
// lists pages by address; a page stays for as long as an index that is held
// lists it. Pages lie in segments, files of up to 64 MiB. An unreferenced page
// becomes a hole in its segment, and compaction rewrites segments that are
// mostly holes, so the place of a page changes and its address doesn't. The
// README of checkpoint/store has a figure.
//
// A pool on disk compresses pages in frames and finds them again at the next
// open; a pool in memory does neither.
//
// It must not know checkpoints: neither their numbers and manifests, nor which
// of them are worth keeping.
//
// Segments may hold anything when they are read: each page is compared with the
// hash that was taken when the page came into the pool, and the tables of a
// segment are bounded and validated.
//
// Locks, outermost first; a caller may hold locks of its own around all of
// them:
//
//	Pool.compacting        one compaction at a time
//	└─ Pool.mu             lists and references; for reading while pages are read
//	   └─ frameCache.mu    decompressed frames
//	compactor.mu           state of the background compaction; no lock is taken
//	                       while it is held
//
// Goroutines: the thread of low priority on which compaction writes, from New
// to Close (package lowprio); and the background compaction, which CompactSoon
// starts, which ends when nothing is worth compacting, and for which Close
// waits.
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

// Pool is a pool of pages. It is safe for concurrent use.
type Pool struct {
	backing backing
	codec   *frame.Codec // nil: pages aren't compressed
	cache   frameCache
	// compacting is held while segments are rewritten, which writes on thread.
	compacting sync.Mutex
	compactor  *compactor
	thread     *lowprio.Thread

	mu       sync.RWMutex // guards all below; read-locked while segments are read
	next     uint64       // lowest address never used
	lastID   uint64       // highest id of a segment ever used
	segments []*segment
	extents  extentTable
	leases   int // not yet released
	closed   bool
}

// backing is the medium of segments.
type backing interface {
	// create returns an empty file that nobody else sees.
	create() (*os.File, error)
	// write writes to such a file.
	write(f *os.File, b []byte, at int64) error
	// commit makes a complete segment durable under its id. The addresses are
	// those of its pages, in their order.
	commit(s *segment, addresses []pageindex.Run) error
	// remove deletes a segment, committed or not. Its file stays open.
	remove(s *segment) error
}

func newPool(b backing, c *frame.Codec) *Pool {
	p := &Pool{backing: b, codec: c, thread: lowprio.New()}
	p.compactor = newCompactor(p)
	return p
}

// Add copies the first pages of a file into the pool. It returns their
// addresses, which follow each other and are held until Release, and how many
// bytes the pages take. The hash of a page is that of the copy, whatever
// becomes of the file meanwhile. copied is told of pages that won't be read
// again, which it may discard. After an error nothing was added. Errors: the
// operating system's, ctx's.
func (p *Pool) Add(ctx context.Context, from *os.File, pages uint64, copied func(at, pages uint64)) (added pageindex.Run, stored int64, err error) {
	p.mu.Lock()
	added = pageindex.Run{Page: p.next, Pages: pages}
	p.next += pages
	p.mu.Unlock()
	for at := uint64(0); at < pages; at += segmentPages {
		run := pageindex.Run{Page: added.Page + at, Pages: min(segmentPages, pages-at)}
		s, err := p.newSegment([]pageindex.Run{run}, func(w *segmentWriter) error { return w.copy(ctx, from, at, run.Pages, copied) })
		if err != nil {
			return pageindex.Run{}, 0, errors.Join(err, p.Release([]pageindex.Run{{Page: added.Page, Pages: at}}))
		}
		stored += s.bytes
		s.hold(0, run.Pages)
		p.adopt(s, []pageindex.Run{run})
	}
	return added, stored, nil
}

// adopt takes a segment that was committed before into the lists.
func (p *Pool) adopt(s *segment, addresses []pageindex.Run) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.adoptLocked(s, addresses)
}

func (p *Pool) adoptLocked(s *segment, addresses []pageindex.Run) {
	p.segments = append(p.segments, s)
	p.lastID = max(p.lastID, s.id)
	p.next = max(p.next, end(addresses))
	p.extents.add(s, addresses)
}

// Reserve makes sure that the addresses of an index are never used for other
// pages, though the pages be missing.
func (p *Pool) Reserve(index []pageindex.Run) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = max(p.next, end(index))
}

// end is the address after the highest of an index.
func end(index []pageindex.Run) uint64 {
	var end uint64
	for _, r := range index {
		end = max(end, r.End())
	}
	return end
}

// reserveID makes sure that an id is never used for another segment.
func (p *Pool) reserveID(id uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lastID = max(p.lastID, id)
}

// Hold adds a reference to each page of an index. Missing pages are passed
// over: Verify and Lease.Complete report them.
func (p *Pool) Hold(index []pageindex.Run) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.holdLocked(index)
}

func (p *Pool) holdLocked(index []pageindex.Run) {
	for _, r := range index {
		_ = p.extents.each(r, func(e extent) error {
			e.seg.hold(e.at, e.pages)
			return nil
		})
	}
}

// Release undoes one Hold of the same index, or the hold of Add, and discards
// the pages without references. An error says that their room couldn't be given
// back now; the pages are released all the same, and the next open, or
// compaction, tries again.
func (p *Pool) Release(index []pageindex.Run) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.releaseLocked(index)
}

func (p *Pool) releaseLocked(index []pageindex.Run) error {
	var firstErr error
	for _, r := range index {
		_ = p.extents.each(r, func(e extent) error {
			e.seg.release(e.at, e.pages, func(at, pages uint64) {
				if e.seg.live > 0 && !e.seg.moving {
					firstErr = cmp.Or(firstErr, e.seg.punch(at, pages))
				}
			})
			return nil
		})
	}
	return cmp.Or(firstErr, p.sweepLocked())
}

// sweepLocked removes the segments without a referenced page.
func (p *Pool) sweepLocked() error {
	var firstErr error
	for _, s := range p.segments {
		if s.live == 0 {
			firstErr = cmp.Or(firstErr, p.removeLocked(s))
		}
	}
	p.dropRemovedLocked()
	return firstErr
}

// removeLocked deletes a segment. The caller drops it from the lists.
func (p *Pool) removeLocked(s *segment) error {
	s.removed = true
	p.cache.forget(s)
	err := p.backing.remove(s)
	if s.readers == 0 {
		err = cmp.Or(err, s.f.Close())
	}
	return err
}

// dropRemovedLocked drops removed segments from the lists.
func (p *Pool) dropRemovedLocked() {
	p.segments = slices.DeleteFunc(p.segments, func(s *segment) bool { return s.removed })
	p.extents.dropRemoved()
}

// Trim discards all pages without references. It is for a pool that was just
// opened, when the indexes of all checkpoints are held: pages that a crash left
// behind go then. Errors are those of Release.
func (p *Pool) Trim() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var firstErr error
	for _, s := range p.segments {
		firstErr = cmp.Or(firstErr, s.punchDead())
	}
	return cmp.Or(firstErr, p.sweepLocked())
}

// Usage is the room that the segments take, and the part of it that referenced
// pages take, in bytes.
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

// Bytes is the room that the pages of an index take, in bytes, as if all pages
// of a segment took the same.
func (p *Pool) Bytes(index []pageindex.Run) int64 {
	p.mu.RLock()
	defer p.mu.RUnlock()
	bytes := int64(0)
	for _, r := range index {
		_ = p.extents.each(r, func(e extent) error {
			bytes += e.seg.share(e.pages)
			return nil
		})
	}
	return bytes
}

// Close ends compaction and closes the pool's files, the latter when the last
// lease is released. It removes nothing: pages on disk are there at the next
// open. Compact must not be called after it, and one that is under way ends
// with an error.
func (p *Pool) Close() {
	p.compactor.stop()
	p.compacting.Lock() // for a Compact that is under way
	defer p.compacting.Unlock()
	p.thread.End()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.closeFilesLocked()
}

// closeFilesLocked closes the files of a closed pool that nobody reads.
func (p *Pool) closeFilesLocked() {
	if !p.closed || p.leases > 0 {
		return
	}
	for _, s := range p.segments {
		s.f.Close()
	}
	p.segments, p.extents = nil, nil
}
