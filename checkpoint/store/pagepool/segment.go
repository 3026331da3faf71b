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
	// segmentPages bounds a segment, and with it what compaction moves at once
	// and what it needs beside what there is: 64 MiB.
	segmentPages = 16 << 10
)

// segment is a file of pages, each with its hash and the number of indexes
// that refer to it. Where nobody refers to any more is a hole.
type segment struct {
	f     *os.File
	id    uint64
	sums  []uint64
	bytes int64 // of the file, without holes
	// frames is nil where each page lies by itself.
	frames *frames
	// The following are guarded by the pool's lock.

	refs    []uint32
	live    uint64 // pages that have references
	readers int    // they need the file open
	removed bool   // it is closed with the last of them
	moving  bool   // it is being rewritten: no holes are made
	stuck   bool   // it couldn't be rewritten, and isn't tried again
}

// ref changes the references to pages by one, up or down, and calls freed for
// each run of pages that lost its last.
func (s *segment) ref(at, pages uint64, up bool, freed func(at, pages uint64)) {
	if up {
		for i := at; i < at+pages; i++ {
			if s.refs[i]++; s.refs[i] == 1 {
				s.live++
			}
		}
		return
	}
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

// liveBytes is what the pages that are referred to take, if all take the same.
func (s *segment) liveBytes() int64 {
	return s.share(s.live)
}

// share is what a number of pages take, if all take the same.
func (s *segment) share(pages uint64) int64 {
	return int64(float64(s.bytes) * float64(pages) / float64(len(s.sums)))
}

// taken is the room that the segment takes in its file system.
func (s *segment) taken() int64 {
	var stat unix.Stat_t
	if err := unix.Fstat(int(s.f.Fd()), &stat); err != nil {
		return s.bytes
	}
	return stat.Blocks * 512
}

// punch gives the room of pages back that nobody refers to. A file system that
// can't keeps it until the segment is rewritten or removed.
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

// punchDead punches all pages that nobody refers to.
func (s *segment) punchDead() error {
	if s.live == 0 {
		return nil // it is removed as a whole
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

// deadFrames is where in the file frames lie that pages without references
// leave without any.
func (s *segment) deadFrames(at, pages uint64) (start, end int64) {
	dead := func(frame uint64) bool {
		for i := frame * framePages; i < min((frame+1)*framePages, uint64(len(s.refs))); i++ {
			if s.refs[i] > 0 {
				return false
			}
		}
		return true
	}
	first, last := at/framePages, (at+pages-1)/framePages
	if !dead(first) {
		first++
	}
	if last >= first && !dead(last) {
		last--
	}
	if last+1 <= first {
		return 0, 0
	}
	if first > 0 {
		start = s.frames.ends[first-1]
	}
	return start, s.frames.ends[last]
}

// read fills b with what is from byte skip of page at on.
func (s *segment) read(b []byte, at, skip uint64) error {
	if s.frames == nil {
		if _, err := s.f.ReadAt(b, int64(at*pageSize+skip)); err != nil {
			return fmt.Errorf("read pages: %w", err)
		}
		return nil
	}
	from := at*pageSize + skip
	for len(b) > 0 {
		frame, skip := from/frameBytes, from%frameBytes
		n := min(uint64(len(b)), frameBytes-skip)
		if err := s.readFrame(b[:n], frame, skip); err != nil {
			return err
		}
		b, from = b[n:], from+n
	}
	return nil
}

// readFrame fills b with what is from byte skip of a frame on.
func (s *segment) readFrame(b []byte, frame, skip uint64) error {
	sums := s.frameSums(frame)
	if skip == 0 && len(b) == len(sums)*pageSize {
		return s.frames.load(s.f, frame, b, sums)
	}
	if s.frames.cache.get(b, s, frame, skip) {
		return nil
	}
	data := make([]byte, len(sums)*pageSize)
	if err := s.frames.load(s.f, frame, data, sums); err != nil {
		return err
	}
	copy(b, data[skip:])
	s.frames.cache.put(s, frame, data)
	return nil
}

// frameSums are the hashes of a frame's pages.
func (s *segment) frameSums(frame uint64) []uint64 {
	return s.sums[frame*framePages : min((frame+1)*framePages, uint64(len(s.sums)))]
}

// verify reads those pages that are wanted and compares their hashes; of a
// frame it is all or none. buf has chunkPages. Errors: ErrDamaged, ctx's.
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
	for frame := at / framePages; frame*framePages < at+pages; frame++ {
		sums := s.frameSums(frame)
		if err := s.frames.load(s.f, frame, buf[:len(sums)*pageSize], sums); err != nil {
			return err
		}
	}
	return nil
}
