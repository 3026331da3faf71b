package lazypages

import (
	"fmt"
	"os"

	"gvisor.dev/gvisor/pkg/sentry/memmap"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/pageindex"
)

// source is one file of an image. read fills b, except for the part beyond the
// end, for which it returns io.EOF. Errors: errHostile, the image's own.
type source interface {
	read(b []byte, off int64) (int, error)
}

// fileSource is a file that was verified when the image was opened.
type fileSource struct{ f *os.File }

func (s fileSource) read(b []byte, off int64) (int, error) { return s.f.ReadAt(b, off) }

// pageSource is the pages of an image, verified as they are read. gVisor reads
// each once at most, which bounds the notes of their places.
type pageSource struct {
	pages checkpoint.PageReader
	left  int64    // bytes that may still be read
	sums  []uint64 // of the last read
}

func newPageSource(pages checkpoint.PageReader) *pageSource {
	return &pageSource{pages: pages, left: pages.Size(), sums: make([]uint64, maxRead/pageindex.PageSize)}
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

// placement notes the places of pages in the sandbox's files, for the copy's
// first checkpoint.
type placement struct {
	pages *pageSource
	sums  []uint64 // by page of the image
}

func newPlacement(pages *pageSource) *placement {
	return &placement{pages, make([]uint64, pages.pages.Size()/pageindex.PageSize)}
}

// note notes the last read of the source, of n bytes from off on into ranges of
// a file.
func (p *placement) note(d *destination, frs []memmap.FileRange, off int64, n int) {
	place := uint64(off / pageindex.PageSize)
	copy(p.sums[place:], p.pages.sums[:n/pageindex.PageSize])
	for _, fr := range frs {
		pages := fr.Length() / pageindex.PageSize
		d.file.Add(pageindex.LoadedRun{Page: fr.Start / pageindex.PageSize, Place: place, Pages: pages})
		place += pages
	}
}
