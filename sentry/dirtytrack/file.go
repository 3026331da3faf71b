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

// file is what is known of a memory file.
type file struct {
	mu sync.Mutex
	// The following are guarded by mu.

	// written are the pages that a program was let write since Watch, previous
	// those of the time before.
	written, previous pageset.Set
	// turns counts calls of turn.
	turns uint

	// hot is for captures alone.
	hot pageset.Set
	// chunks are for captures alone, of which there is one at a time.
	chunks []chunk
}

// chunk is a piece of a memory file.
type chunk struct {
	sentry []byte // gVisor's mapping, watched; nil when it isn't
	view   []byte // ours: what is in its page tables hasn't been replaced
}

// note says that a program may write pages from now on.
func (f *file) note(offset, length uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.written.Add(offset/pageSize, length/pageSize)
}

// turn adds to changed what a program was let write since the last call, and
// returns what it was let write before that as well: it is likely to go on, so
// that letting it costs less than being asked. It is valid until the next call.
//
// What isn't closed isn't asked for, and would stay hot for ever: so every now
// and then nothing is.
func (f *file) turn(changed *pageset.Set) (hot *pageset.Set) {
	const relearn = 16
	f.mu.Lock()
	defer f.mu.Unlock()
	changed.Merge(&f.written)
	f.hot.Clear()
	if f.turns++; f.turns%relearn != 0 {
		f.hot.Merge(&f.written)
		f.hot.Intersect(&f.previous)
	}
	f.written, f.previous = f.previous, f.written
	f.written.Clear()
	return &f.hot
}

// collect adds to changed what the sentry may have changed since the last
// call.
func (f *file) collect(w *watcher, size uint64, changed *pageset.Set) {
	for i := range size / chunkSize {
		if !f.collectChunk(w, i, changed) {
			changed.Add(i*chunkPages, chunkPages)
		}
	}
}

// collectChunk returns false when it can't tell.
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
		log.Warningf("recover: memory can't be watched: %v", err)
		c.drop()
		return false
	}
	return true
}

// drop stops watching a chunk.
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
	size    uint64
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

// begin watches a chunk from now on, of which b is mapped by the sentry.
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
		log.Warningf("recover: memory can't be watched: %v", err)
		c.drop()
		return false
	}
	c.sentry = sentry
	return true
}
