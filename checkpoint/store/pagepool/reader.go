package pagepool

import (
	"fmt"
	"io"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/pageindex"
)

// pageReader implements checkpoint.PageReader for an index that is held.
type pageReader struct {
	pool  *Pool
	index *pageindex.Reader
}

func newPageReader(p *Pool, index []pageindex.Run) *pageReader {
	return &pageReader{p, pageindex.NewReader(index)}
}

// Size implements checkpoint.PageReader.
func (r *pageReader) Size() int64 { return int64(r.index.Pages() * pageSize) }

// ReadAt implements io.ReaderAt.
func (r *pageReader) ReadAt(b []byte, off int64) (int, error) {
	if off < 0 || off >= r.Size() {
		return 0, io.EOF
	}
	var err error
	if left := r.Size() - off; int64(len(b)) > left {
		b, err = b[:left], io.EOF
	}
	first, skip := uint64(off/pageSize), uint64(off%pageSize)
	pages := (skip + uint64(len(b)) + pageSize - 1) / pageSize
	done := 0
	var readErr error
	r.index.Each(first, pages, func(run pageindex.Run) {
		if readErr != nil {
			return
		}
		n := min(len(b)-done, int(run.Pages*pageSize-skip))
		if readErr = r.pool.read(b[done:done+n], run, skip); readErr == nil {
			done += n
		}
		skip = 0
	})
	if readErr != nil {
		return done, readErr
	}
	return done, err
}

// ReadPages implements checkpoint.PageReader.
func (r *pageReader) ReadPages(b []byte, first uint64, sums []uint64) error {
	pages := uint64(len(sums))
	if end := first + pages; end < first || end > r.index.Pages() {
		return fmt.Errorf("%w: %d pages from %d on, of %d", checkpoint.ErrDamaged, pages, first, r.index.Pages())
	}
	b = b[:pages*pageSize]
	var err error
	r.index.Each(first, pages, func(run pageindex.Run) {
		if err == nil {
			err = r.pool.readPages(b[:run.Pages*pageSize], run, sums[:run.Pages])
		}
		b, sums = b[run.Pages*pageSize:], sums[run.Pages:]
	})
	return err
}
