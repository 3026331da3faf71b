// Package capture saves a program's memory at the cost of the pages that
// changed. It is the pages file that gVisor writes to while the program stands
// still: pages that are as in the parent are only named, the others are copied
// into memory that the supervisor handed over and that was touched before.
//
// It must not know when or why a checkpoint is taken, nor files by name.
//
// No locks and no goroutines of its own. A Capturer is used by one goroutine at
// a time; while SaveTo runs, that is gVisor's writer of pages.
//
// # Changed pages
//
// Each capture leaves a layout behind: for each page of each memory file its
// place in that checkpoint's pages file and the hash of its contents. Once the
// supervisor names the checkpoint as a parent it has been published, and its
// layout becomes the base. A sandbox that was restored is told the layout of
// its own checkpoint (Adopt). A page that has the base's hash is unchanged. A
// Tracker spares the reading of pages that can't have been written since.
package capture

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"runsc-recover/checkpoint/pageindex"
	"runsc-recover/checkpoint/pageset"
)

const (
	pageSize  = pageindex.PageSize
	pageShift = 12
)

// ErrFull: there is no room for the pages that changed. It is wrapped.
var ErrFull = errors.New("no room for the pages that changed")

// Contents is Tracking's name for the comparison of all pages.
const Contents = "contents"

// Request is one checkpoint to capture.
type Request struct {
	Seq uint64
	// Parent is the checkpoint whose pages may be referred to, 0 for none.
	Parent uint64
	// Staged receives the pages that changed. It stays the caller's.
	Staged int
	// Full receives all pages, unless it is -1. It stays the caller's.
	Full int
}

// Capturer knows the contents of memory at the last checkpoints, as hashes.
type Capturer struct {
	tracker Tracker // may be nil
	staging staging
	files   map[fileID]*file
	// baseSeq is the checkpoint that the files' base is of, pendingSeq the one
	// that the last capture was for; 0 when there is none, or it failed.
	baseSeq, pendingSeq uint64
	index               []pageindex.Run // its memory is used again
}

// New returns a Capturer that knows nothing yet. tracker may be nil.
func New(tracker Tracker) *Capturer {
	return &Capturer{tracker: tracker, files: make(map[fileID]*file)}
}

// Tracking names the way in which changed pages are found, for the operator.
func (c *Capturer) Tracking() string {
	if c.tracker == nil {
		return Contents
	}
	return c.tracker.Name()
}

// Begin prepares a capture, while the program still runs. The result is the
// pages file for one SaveTo, which closes it.
func (c *Capturer) Begin(r Request) (*Capture, error) {
	if err := c.staging.use(r.Staged); err != nil {
		return nil, fmt.Errorf("map the staging memory: %w", err)
	}
	switch {
	case c.pendingSeq != 0 && r.Parent == c.pendingSeq:
		c.promote()
	case r.Parent != c.baseSeq:
		c.forget()
	}
	c.pendingSeq = 0
	for _, f := range c.files {
		f.pending.clear()
		f.seen = false
	}
	return &Capture{capturer: c, request: r, index: c.index[:0]}, nil
}

// Abandon releases the staging memory of a capture that failed: its owner won't
// use it again. Where it can't be unmapped the next Begin says so.
func (c *Capturer) Abandon() { _ = c.staging.release() }

// promote makes the last capture the base of the next.
func (c *Capturer) promote() {
	for id, f := range c.files {
		if !f.seen {
			c.drop(id)
			continue
		}
		f.base, f.pending = f.pending, f.base
		f.suspects.Clear()
	}
	c.baseSeq = c.pendingSeq
}

// forget makes the next capture one of all pages.
func (c *Capturer) forget() {
	for _, f := range c.files {
		f.base.clear()
	}
	c.baseSeq = 0
}

// drop forgets a memory file that is gone.
func (c *Capturer) drop(id fileID) {
	delete(c.files, id)
	if c.tracker != nil {
		c.tracker.Forget(id.ino)
	}
}

// fileID names a memory file for as long as it lives: inodes of memfds aren't
// used again soon, and a file that is gone is dropped at the next capture.
type fileID struct{ dev, ino uint64 }

func identify(fd int) (fileID, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return fileID{}, fmt.Errorf("identify memory file: %w", err)
	}
	return fileID{uint64(stat.Dev), stat.Ino}, nil
}

// file is the record of one of gVisor's memory files.
type file struct {
	base, pending layout
	// suspects are the pages that may have changed since base.
	suspects pageset.Set
	seen     bool // in the last capture
}

// begin learns which pages may have changed of a file that is about to be saved.
func (c *Capturer) begin(fd int, size uint64) (*source, error) {
	id, err := identify(fd)
	if err != nil {
		return nil, err
	}
	f := c.files[id]
	if f == nil {
		f = &file{}
		c.files[id] = f
	}
	f.seen = true
	if c.tracker == nil {
		f.suspects.Add(0, size>>pageShift)
		return &source{file: f}, nil
	}
	return &source{file: f, watch: c.tracker.Watch(id.ino, fd, size, &f.suspects)}, nil
}

// source is a memory file as it is being saved.
type source struct {
	*file
	watch Watch // nil without a Tracker
}

// view returns where to read b, the sentry's mapping of a file from offset on.
func (s *source) view(offset uint64, b []byte) []byte {
	if s.watch == nil {
		return b
	}
	return s.watch.View(offset, b)
}
