package pagepool

import (
	"os"

	"runsc-recover/checkpoint/memfile"
	"runsc-recover/checkpoint/pageindex"
)

// NewMemory returns an empty pool in memory. Pages aren't compressed there: a
// copy may be waiting for them. The caller closes the pool.
func NewMemory() *Pool { return newPool(memoryBacking{}, nil) }

// memoryBacking keeps each segment in a memfd, which is gone when it is closed.
type memoryBacking struct{}

func (memoryBacking) create() (*os.File, error) { return memfile.New("pages") }

func (memoryBacking) write(f *os.File, b []byte, at int64) error {
	_, err := f.WriteAt(b, at)
	return err
}

func (memoryBacking) commit(*segment, []pageindex.Run) error { return nil }

func (memoryBacking) remove(*segment) error { return nil }
