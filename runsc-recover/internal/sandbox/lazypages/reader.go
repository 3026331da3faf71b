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

	"runsc-recover/checkpoint/pageindex"
)

const (
	// maxRead bounds a read, in bytes: a page that the program waits for comes
	// after the read under way. Into fresh memory, a read takes about a
	// millisecond.
	maxRead = 256 << 10
	// maxRanges bounds the pieces of memory that one read fills.
	maxRanges = 64
	// maxDestinations bounds the files of a sandbox that are filled: gVisor has
	// one for its memory and one for each file system in memory.
	maxDestinations = 1024
)

// reader implements stateio.AsyncReader: it reads from its source and writes
// into the sandbox's files, at once. gVisor's server calls it on the goroutine
// of the file, but for RegisterDestinationFD, which comes on that of the calls.
type reader struct {
	server *Server
	from   source
	placed *placement // nil for files other than the pages
	buf    []byte
	done   []stateio.Completion

	mu           sync.Mutex
	destinations []*destination // guarded by mu
}

// destination is a file of the sandbox's that is filled.
type destination struct {
	fd   int
	file pageindex.LoadedFile // its contents, where the reader notes them
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
	if r.placed != nil {
		r.server.noteLoaded(pageindex.Loaded{Files: files, Sums: r.placed.sums})
	}
	return nil
}

// MaxReadBytes implements stateio.AsyncReader.
func (r *reader) MaxReadBytes() uint64 { return maxRead }

// MaxRanges implements stateio.AsyncReader.
func (r *reader) MaxRanges() int { return maxRanges }

// MaxParallel implements stateio.AsyncReader. The sandbox prepares a read
// while another is served.
func (r *reader) MaxParallel() int { return 2 }

// NeedRegisterDestinationFD implements stateio.AsyncReader.
func (r *reader) NeedRegisterDestinationFD() bool { return true }

// RegisterDestinationFD implements stateio.AsyncReader. It takes memfds alone:
// writes to other files could block, or do harm.
func (r *reader) RegisterDestinationFD(fd int32, _ uint64, _ []stateio.ClientFileRangeSetting) (stateio.DestinationFile, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.destinations) >= maxDestinations {
		return nil, fmt.Errorf("%w: more than %d files to fill", errHostile, maxDestinations)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0); err != nil {
		return nil, fmt.Errorf("%w: a file to fill that isn't in memory: %w", errHostile, err)
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
	case r.placed != nil:
		r.placed.note(d, frs, off, n)
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

// Wait implements stateio.AsyncReader. All reads are complete by then.
func (r *reader) Wait(cs []stateio.Completion, _ int) ([]stateio.Completion, error) {
	cs = append(cs, r.done...)
	r.done = r.done[:0]
	return cs, nil
}
