package dirtytrack

import (
	"sync"

	"golang.org/x/sys/unix"

	"gvisor.dev/gvisor/pkg/log"

	"runsc-recover/checkpoint/pageset"
)

const (
	// chunkSize is gVisor's: it maps its memory files in pieces of this size.
	chunkSize  = 1 << 30
	chunkPages = chunkSize / pageSize
)

// file is the record of a memory file. An interval is the time from one capture
// to the next.
type file struct {
	mu sync.Mutex
	// The following are guarded by mu.

	// written are the pages that a program may have written in this interval,
	// previous those of the interval before.
	written, previous pageset.Set
	// intervals counts the intervals so far.
	intervals uint

	// The following belong to captures, of which there is one at a time.

	hot    pageset.Set
	chunks []chunk
}

// chunk is a piece of a memory file.
type chunk struct {
	sentry []byte // gVisor's mapping, write-protected; nil where it isn't tracked
	view   []byte // a mapping of ours: a page in its page tables wasn't replaced
}

// note records that a program may write pages from now on.
func (f *file) note(offset, length uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.written.Add(offset/pageSize, length/pageSize)
}

// nextInterval begins an interval. It adds to changed the pages that a program
// may have written in the last one, and returns as hot those of them that were
// written in the one before it as well: the program is likely to go on, so that
// leaving them open costs less than its faults. The result is valid until the
// next call.
//
// An open page causes no fault, and would stay hot for ever: so in every
// sixteenth interval none is hot.
func (f *file) nextInterval(changed *pageset.Set) (hot *pageset.Set) {
	const relearn = 16
	f.mu.Lock()
	defer f.mu.Unlock()
	changed.Merge(&f.written)
	f.hot.Clear()
	if f.intervals++; f.intervals%relearn != 0 {
		f.hot.Merge(&f.written)
		f.hot.Intersect(&f.previous)
	}
	f.written, f.previous = f.previous, f.written
	f.written.Clear()
	return &f.hot
}

// collect adds to changed the pages that the sentry may have changed since the
// last call.
func (f *file) collect(w *watcher, size uint64, changed *pageset.Set) {
	for i := range size / chunkSize {
		if !f.collectChunk(w, i, changed) {
			changed.Add(i*chunkPages, chunkPages)
		}
	}
}

// collectChunk returns false where it can't tell: the chunk isn't tracked.
func (f *file) collectChunk(w *watcher, i uint64, changed *pageset.Set) bool {
	if i >= uint64(len(f.chunks)) || f.chunks[i].sentry == nil {
		return false
	}
	c := &f.chunks[i]
	add := func(page, pages uint64) { changed.Add(i*chunkPages+page, pages) }
	err := w.written(c.sentry, add)
	if err == nil {
		err = w.absent(c.view, add)
	}
	if err != nil {
		log.Warningf("recover: no dirty tracking of a chunk of memory: %v", err)
		c.drop()
		return false
	}
	return true
}

// drop stops the tracking of a chunk.
func (c *chunk) drop() {
	if c.view != nil {
		_ = unix.Munmap(c.view)
	}
	*c = chunk{}
}

func (f *file) forget() {
	for i := range f.chunks {
		f.chunks[i].drop()
	}
}

// watch implements capture.Watch.
type watch struct {
	file    *file
	watcher *watcher
	fd      int
}

// View implements capture.Watch.
func (v *watch) View(offset uint64, b []byte) []byte {
	i, at := offset/chunkSize, offset%chunkSize
	for uint64(len(v.file.chunks)) <= i {
		v.file.chunks = append(v.file.chunks, chunk{})
	}
	c := &v.file.chunks[i]
	if c.sentry == nil || address(c.sentry)+at != address(b) {
		if !v.begin(c, i, at, b) {
			return b
		}
	}
	return c.view[at : at+uint64(len(b))]
}

// begin tracks a chunk from now on. b is the sentry's mapping of it from at on.
func (v *watch) begin(c *chunk, i, at uint64, b []byte) bool {
	c.drop()
	sentry := around(b, at, chunkSize)
	view, err := unix.Mmap(v.fd, int64(i*chunkSize), chunkSize, unix.PROT_READ, unix.MAP_SHARED)
	if err == nil {
		c.view = view
		err = v.watcher.register(sentry)
	}
	if err == nil {
		err = v.watcher.written(sentry, func(uint64, uint64) {})
	}
	if err != nil {
		log.Warningf("recover: no dirty tracking of a chunk of memory: %v", err)
		c.drop()
		return false
	}
	c.sentry = sentry
	return true
}
