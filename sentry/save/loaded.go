package save

import (
	"errors"
	"fmt"
	"io"

	"gvisor.dev/gvisor/pkg/hostarch"
	"gvisor.dev/gvisor/pkg/sentry/kernel"
	"gvisor.dev/gvisor/pkg/sentry/memmap"
	"gvisor.dev/gvisor/pkg/sentry/pgalloc"

	"runsc-recover/checkpoint/pageindex"
	"runsc-recover/sentry/capture"
)

// maxLoaded bounds a list of loaded pages, in bytes: the hashes of 1 TiB.
const maxLoaded = 2 << 30

// ErrNotRestored: the sandbox wasn't restored from a checkpoint.
var ErrNotRestored = errors.New("the sandbox wasn't restored")

// SetRestored tells the Saver that k was restored, from a checkpoint that may
// still be being loaded.
func (s *Saver) SetRestored(k *kernel.Kernel) { s.restored.Store(k.MemoryFile()) }

// Loading reports whether a copy's memory is still being loaded.
func (s *Saver) Loading() bool {
	mf := s.restored.Load()
	return mf != nil && mf.IsAsyncLoading()
}

// Loaded makes checkpoint seq, which the copy was restored from, the base of
// its first checkpoint. f lists the place and the hash of each page
// (pageindex.Loaded). The program may be running. Errors: ErrNotRestored,
// pageindex.ErrMalformed, and those of reading and loading.
func (s *Saver) Loaded(seq uint64, f io.ReaderAt) error {
	b, err := io.ReadAll(io.NewSectionReader(f, 0, maxLoaded))
	if err != nil {
		return fmt.Errorf("read the list of loaded pages: %w", err)
	}
	l, err := pageindex.DecodeLoaded(b)
	if err != nil {
		return err
	}
	mf := s.restored.Load()
	if mf == nil {
		return ErrNotRestored
	}
	// The supervisor is done, gVisor may not know it yet.
	if err := mf.AwaitLoadAll(); err != nil {
		return fmt.Errorf("load memory: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.capturer.Adopt(seq, l, memoryOf(mf)); err != nil {
		return fmt.Errorf("compare loaded pages: %w", err)
	}
	return nil
}

// memoryOf returns the program's memory. Its mappings stay where they are.
func memoryOf(mf *pgalloc.MemoryFile) capture.Memory {
	return capture.Memory{
		FD:   mf.FD(),
		Size: mf.TotalSize(),
		Map: func(offset, length uint64) ([]byte, error) {
			blocks, err := mf.MapInternal(memmap.FileRange{Start: offset, End: offset + length}, hostarch.Read)
			if err != nil {
				return nil, err
			}
			return blocks.Head().ToSlice(), nil
		},
	}
}
