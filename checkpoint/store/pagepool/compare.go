package pagepool

import (
	"bytes"
	"context"
	"fmt"
	"os"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/pageindex"
)

// Compare compares all pages of an index, as a copy would be given them later,
// with the contents of a file. Errors: ErrMissed when they differ, ErrDamaged,
// ctx's.
//
// Preconditions: the index is held.
func (p *Pool) Compare(ctx context.Context, index []pageindex.Run, full *os.File) error {
	// A copy is given its pages from the files, so the next reader must not be
	// served from the cache.
	defer p.cache.clear()
	pages := newPageReader(p, index)
	if stat, err := full.Stat(); err != nil || stat.Size() != pages.Size() {
		return fmt.Errorf("%w: it has %d bytes of memory: %v, %v", checkpoint.ErrMissed, pages.Size(), stat, err)
	}
	got, want := make([]byte, chunkPages*pageSize), make([]byte, chunkPages*pageSize)
	for at := int64(0); at < pages.Size(); at += int64(len(got)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(int64(len(got)), pages.Size()-at)
		if _, err := pages.ReadAt(got[:n], at); err != nil {
			return err
		}
		if _, err := full.ReadAt(want[:n], at); err != nil {
			return fmt.Errorf("read all of memory: %w", err)
		}
		if !bytes.Equal(got[:n], want[:n]) {
			return fmt.Errorf("%w: pages %v", checkpoint.ErrMissed, differences(got[:n], want[:n], at/pageSize))
		}
	}
	return nil
}

// differences lists the first few pages that differ. The first page of both is
// page first.
func differences(got, want []byte, first int64) []int64 {
	var out []int64
	for at := 0; at < len(got) && len(out) < 16; at += pageSize {
		if !bytes.Equal(got[at:at+pageSize], want[at:at+pageSize]) {
			out = append(out, first+int64(at/pageSize))
		}
	}
	return out
}
