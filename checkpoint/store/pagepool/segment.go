package pagepool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sys/unix"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/pageindex"
	"runsc-recover/checkpoint/pageset"
)

const (
	pageSize = pageindex.PageSize
	// chunkPages is how many pages are read or written at once.
	chunkPages = 256
	// segmentPages bounds a segment to 64 MiB, and with it the room that
	// compaction needs beside the segments that it rewrites.
	segmentPages = 16 << 10
)

// segment is a file of pages, with the hash of each and the number of its
// references. Unreferenced pages are holes.
type segment struct {
	// The following are immutable once the segment is committed.

	f      *os.File
	id     uint64
	sums   []uint64
	bytes  int64   // size of the file
	frames *frames // nil: the pages lie in the file as they are

	// The following are guarded by Pool.mu.

	refs    []uint32 // of each page
	live    uint64   // number of referenced pages
	readers int      // each needs the file open
	removed bool     // the last reader closes the file
	moving  bool     // compaction reads the segment: no holes are made
	stuck   bool     // compaction couldn't read the segment, and leaves it alone
}

// hold adds a reference to each of some pages.
func (s *segment) hold(at, pages uint64) {
	for i := at; i < at+pages; i++ {
		if s.refs[i]++; s.refs[i] == 1 {
			s.live++
		}
	}
}

// release takes a reference from each of some pages, and calls freed for each
// run of pages that lost the last one.
func (s *segment) release(at, pages uint64, freed func(at, pages uint64)) {
	start := at
	for i := at; i < at+pages; i++ {
		if s.refs[i]--; s.refs[i] == 0 {
			s.live--
			continue
		}
		if i > start {
			freed(start, i-start)
		}
		start = i + 1
	}
	if end := at + pages; end > start {
		freed(start, end-start)
	}
}

// liveBytes is the room that referenced pages take, if all take the same.
func (s *segment) liveBytes() int64 { return s.share(s.live) }

// share is the room that a number of pages take, if all take the same.
func (s *segment) share(pages uint64) int64 {
	return int64(float64(s.bytes) * float64(pages) / float64(len(s.sums)))
}

// taken is the room that the segment takes in its file system, holes left out.
func (s *segment) taken() int64 {
	var stat unix.Stat_t
	if err := unix.Fstat(int(s.f.Fd()), &stat); err != nil {
		return s.bytes
	}
	return stat.Blocks * 512
}

// punch makes holes of unreferenced pages. A file system without holes keeps
// their room until the segment is rewritten or removed.
func (s *segment) punch(at, pages uint64) error {
	start, end := int64(at*pageSize), int64((at+pages)*pageSize)
	if s.frames != nil {
		start, end = s.deadFrames(at, pages)
	}
	if start >= end {
		return nil
	}
	err := unix.Fallocate(int(s.f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, start, end-start)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	return os.NewSyscallError("fallocate", err)
}

// punchDead makes holes of all unreferenced pages, unless all are: then the
// segment is to be removed as a whole.
func (s *segment) punchDead() error {
	if s.live == 0 {
		return nil
	}
	var firstErr error
	start := 0
	for i := 0; i <= len(s.refs); i++ {
		if i < len(s.refs) && s.refs[i] == 0 {
			continue
		}
		if i > start {
			firstErr = cmp.Or(firstErr, s.punch(uint64(start), uint64(i-start)))
		}
		start = i + 1
	}
	return firstErr
}

// deadFrames is the range of the file that holds only unreferenced pages, of
// the frames in which some unreferenced pages lie.
func (s *segment) deadFrames(at, pages uint64) (start, end int64) {
	first, last := at/framePages, (at+pages-1)/framePages
	if !s.isDead(first) {
		first++
	}
	if last >= first && !s.isDead(last) {
		last--
	}
	if last+1 <= first {
		return 0, 0
	}
	start, _ = s.frames.span(first)
	return start, s.frames.ends[last]
}

// isDead reports whether no page of a frame is referenced.
func (s *segment) isDead(frame uint64) bool {
	for i := frame * framePages; i < min((frame+1)*framePages, uint64(len(s.refs))); i++ {
		if s.refs[i] > 0 {
			return false
		}
	}
	return true
}

// read fills b with the contents of pages, from byte skip of page at on. Pages
// in frames are verified on the way. Errors: ErrDamaged, the operating
// system's.
func (s *segment) read(b []byte, at, skip uint64) error {
	if s.frames == nil {
		if _, err := s.f.ReadAt(b, int64(at*pageSize+skip)); err != nil {
			return fmt.Errorf("read pages: %w", err)
		}
		return nil
	}
	from := at*pageSize + skip
	for len(b) > 0 {
		number, skip := from/frameBytes, from%frameBytes
		n := min(uint64(len(b)), frameBytes-skip)
		if err := s.readFrame(b[:n], number, skip); err != nil {
			return err
		}
		b, from = b[n:], from+n
	}
	return nil
}

// readFrame fills b with the contents of a frame, from byte skip on. A frame
// read in part is cached for the reader of the rest.
func (s *segment) readFrame(b []byte, number, skip uint64) error {
	sums := s.frameSums(number)
	if skip == 0 && len(b) == len(sums)*pageSize {
		return s.frames.load(s.f, number, b, sums)
	}
	if s.frames.cache.get(b, s, number, skip) {
		return nil
	}
	data := make([]byte, len(sums)*pageSize)
	if err := s.frames.load(s.f, number, data, sums); err != nil {
		return err
	}
	copy(b, data[skip:])
	s.frames.cache.put(s, number, data)
	return nil
}

// frameSums are the hashes of a frame's pages.
func (s *segment) frameSums(number uint64) []uint64 {
	return s.sums[number*framePages : min((number+1)*framePages, uint64(len(s.sums)))]
}

// verify reads some pages and compares them with their hashes; of a frame all
// or none are. buf has room for chunkPages. Errors: ErrDamaged, ctx's.
func (s *segment) verify(ctx context.Context, wanted *pageset.Set, buf []byte) error {
	check := s.verifyFrames
	if s.frames == nil {
		check = s.verifyPages
	}
	for at, pages := range wanted.Runs(0, uint64(len(s.sums))) {
		for end := at + pages; at < end; at += chunkPages {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := check(at, min(chunkPages, end-at), buf); err != nil {
				return fmt.Errorf("segment %d: %w", s.id, err)
			}
		}
	}
	return nil
}

func (s *segment) verifyPages(at, pages uint64, buf []byte) error {
	if _, err := s.f.ReadAt(buf[:pages*pageSize], int64(at*pageSize)); err != nil {
		return fmt.Errorf("%w: read pages: %w", checkpoint.ErrDamaged, err)
	}
	for i := range pages {
		if xxhash.Sum64(buf[i*pageSize:(i+1)*pageSize]) != s.sums[at+i] {
			return fmt.Errorf("%w: page %d has another hash", checkpoint.ErrDamaged, at+i)
		}
	}
	return nil
}

func (s *segment) verifyFrames(at, pages uint64, buf []byte) error {
	for number := at / framePages; number*framePages < at+pages; number++ {
		sums := s.frameSums(number)
		if err := s.frames.load(s.f, number, buf[:len(sums)*pageSize], sums); err != nil {
			return err
		}
	}
	return nil
}
