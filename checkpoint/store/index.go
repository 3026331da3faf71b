package store

import (
	"fmt"
	"io"
	"os"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/pageindex"
)

// maxIndex and maxRuns bound an index, in bytes and in runs: 16 GiB of which
// every other page changed.
const (
	maxIndex = 16 << 20
	maxRuns  = 4 << 20
)

// writeIndex writes a store's index into an empty file.
func writeIndex(f *os.File, index []pageindex.Run) error {
	_, err := f.WriteAt(pageindex.AppendTo(nil, index), 0)
	return err
}

// readIndex decodes an index, which may be hostile. Errors: ErrDamaged.
func readIndex(f *os.File) ([]pageindex.Run, error) {
	stat, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("measure the page index: %w", err)
	}
	if stat.Size() > maxIndex {
		return nil, fmt.Errorf("%w: page index of %d bytes", checkpoint.ErrDamaged, stat.Size())
	}
	b := make([]byte, stat.Size())
	if _, err := f.ReadAt(b, 0); err != nil && err != io.EOF {
		return nil, fmt.Errorf("read the page index: %w", err)
	}
	index, err := pageindex.Decode(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", checkpoint.ErrDamaged, err)
	}
	return index, nil
}
