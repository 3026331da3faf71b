package lazypages

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"gvisor.dev/gvisor/pkg/sentry/memmap"
	"gvisor.dev/gvisor/pkg/sentry/state/stateio"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/pageindex"
)

const (
	// MaxRead is the most that is served at once, in bytes: what the program
	// waits for comes after what is under way. Into fresh memory, this takes
	// about a millisecond.
	MaxRead = 256 << 10
	// maxRanges bounds the pieces of memory that one read may fill.
	maxRanges = 64
	// maxDestinations bounds the files that a sandbox may want filled: gVisor
	// has one for its memory and one for each file system in memory.
	maxDestinations = 1024
)

// source is where an imageReader reads. read fills b, but for what is beyond
// the end, where it returns io.EOF.
type source interface {
	read(b []byte, off int64) (int, error)
}

// fileSource is a file that was verified when the image was opened.
type fileSource struct{ f *os.File }

func (s fileSource) read(b []byte, off int64) (int, error) { return s.f.ReadAt(b, off) }

// pageSource is the pages of an image, verified as they are read. gVisor reads
// each once at most, which bounds what is noted of where they went.
type pageSource struct {
	pages checkpoint.PageReader
	left  int64    // bytes that may still be read
	sums  []uint64 // of the last read
}

func newPageSource(pages checkpoint.PageReader) *pageSource {
	return &pageSource{pages: pages, left: pages.Size(), sums: make([]uint64, MaxRead/pageindex.PageSize)}
}

func (s *pageSource) read(b []byte, off int64) (int, error) {
	if off < 0 || off%pageindex.PageSize != 0 || len(b)%pageindex.PageSize != 0 || off+int64(len(b)) > s.pages.Size() || int64(len(b)) > s.left {
		return 0, fmt.Errorf("%w: %d bytes from %d on, of %d", errHostile, len(b), off, s.pages.Size())
	}
	s.left -= int64(len(b))
	sums := s.sums[:len(b)/pageindex.PageSize]
	if err := s.pages.ReadPages(b, uint64(off/pageindex.PageSize), sums); err != nil {
		return 0, err
	}
	return len(b), nil
}

// reader implements stateio.AsyncReader: it reads from its source and
// writes into the sandbox's files, at once.
type reader struct {
	server *Server
	from   source
	// loaded is what came where, of the pages file; nil of others.
	loaded *loadedPages
	buf    []byte
	done   []stateio.Completion

	mu sync.Mutex
	// destinations is guarded by mu: a hostile sandbox may have it closed
	// while it adds one.
	destinations []*destination
}

// destination is a file of the sandbox's that is filled.
type destination struct {
	fd   int
	file pageindex.LoadedFile // what it was filled with, if that is noted
}

// loadedPages notes where pages went, for the copy's first checkpoint.
type loadedPages struct {
	pages *pageSource
	sums  []uint64
}

// note notes the last read of the source, into ranges of a file.
func (l *loadedPages) note(d *destination, frs []memmap.FileRange, off int64, n int) {
	place := uint64(off / pageindex.PageSize)
	copy(l.sums[place:], l.pages.sums[:n/pageindex.PageSize])
	for _, fr := range frs {
		pages := fr.Length() / pageindex.PageSize
		d.file.Add(pageindex.LoadedRun{Page: fr.Start / pageindex.PageSize, Place: place, Pages: pages})
		place += pages
	}
}

// Close implements stateio.AsyncReader.
func (r *reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var files []pageindex.LoadedFile
	for _, d := range r.destinations {
		unix.Close(d.fd)
		files = append(files, d.file)
	}
	r.destinations = nil
	if r.loaded != nil {
		r.server.noteLoaded(pageindex.Loaded{Files: files, Sums: r.loaded.sums})
	}
	return nil
}

// MaxReadBytes implements stateio.AsyncReader.
func (r *reader) MaxReadBytes() uint64 { return MaxRead }

// MaxRanges implements stateio.AsyncReader.
func (r *reader) MaxRanges() int { return maxRanges }

// MaxParallel implements stateio.AsyncReader. The sandbox prepares a read
// while another is served.
func (r *reader) MaxParallel() int { return 2 }

// NeedRegisterDestinationFD implements stateio.AsyncReader.
func (r *reader) NeedRegisterDestinationFD() bool { return true }

// RegisterDestinationFD implements stateio.AsyncReader. Writes to anything but
// a memfd could block, or do harm.
func (r *reader) RegisterDestinationFD(fd int32, _ uint64, _ []stateio.ClientFileRangeSetting) (stateio.DestinationFile, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.destinations) >= maxDestinations {
		return nil, fmt.Errorf("%w: more than %d files filled", errHostile, maxDestinations)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0); err != nil {
		return nil, fmt.Errorf("%w: a file filled that isn't memory: %w", errHostile, err)
	}
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("duplicate the sandbox's file: %w", err)
	}
	var stat unix.Stat_t
	if err := unix.Fstat(dup, &stat); err != nil {
		unix.Close(dup)
		return nil, fmt.Errorf("identify the sandbox's file: %w", err)
	}
	d := &destination{dup, pageindex.LoadedFile{Dev: uint64(stat.Dev), Ino: stat.Ino}}
	r.destinations = append(r.destinations, d)
	return d, nil
}

// AddRead implements stateio.AsyncReader. The mapping isn't used.
func (r *reader) AddRead(id int, off int64, df stateio.DestinationFile, fr memmap.FileRange, _ []byte) {
	r.AddReadv(id, off, fr.Length(), df, []memmap.FileRange{fr}, nil)
}

// AddReadv implements stateio.AsyncReader.
func (r *reader) AddReadv(id int, off int64, total uint64, df stateio.DestinationFile, frs []memmap.FileRange, _ []unix.Iovec) {
	n, err := r.from.read(r.buf[:total], off)
	if err != nil && err != io.EOF && !errors.Is(err, errHostile) {
		r.server.fail(err)
	}
	d := df.(*destination)
	if werr := fill(d.fd, frs, r.buf[:n]); werr != nil {
		n, err = 0, werr
	}
	switch {
	case err != nil && err != io.EOF:
		r.server.spoil()
	case r.loaded != nil:
		r.loaded.note(d, frs, off, n)
	}
	r.done = append(r.done, stateio.Completion{ID: id, N: uint64(n), Err: err})
}

// fill writes b into the ranges of a file, in their order.
func fill(fd int, frs []memmap.FileRange, b []byte) error {
	for _, fr := range frs {
		at := fr.Start
		for at < fr.End && len(b) > 0 {
			n, err := unix.Pwrite(fd, b[:min(uint64(len(b)), fr.End-at)], int64(at))
			if err != nil {
				return os.NewSyscallError("pwrite", err)
			}
			b, at = b[n:], at+uint64(n)
		}
	}
	return nil
}

// Wait implements stateio.AsyncReader.
func (r *reader) Wait(cs []stateio.Completion, _ int) ([]stateio.Completion, error) {
	cs = append(cs, r.done...)
	r.done = r.done[:0]
	return cs, nil
}
