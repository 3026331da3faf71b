package save

import (
	"errors"
	"fmt"
	"io"

	"gvisor.dev/gvisor/pkg/hostarch"
	"gvisor.dev/gvisor/pkg/sentry/memmap"
	"gvisor.dev/gvisor/pkg/sentry/pgalloc"

	"runsc-recover/checkpoint/pageindex"
	"runsc-recover/sentry/capture"
)

// maxLoaded bounds what is read of a request's file: the hashes of 1 TiB.
const maxLoaded = 2 << 30

// ErrNotRestored: the sandbox wasn't restored from a checkpoint.
var ErrNotRestored = errors.New("the sandbox wasn't restored")

// Loaded makes checkpoint seq, which the copy was restored from, the one that
// its first checkpoint is compared with. f says which page of it is where
// (pageindex.Loaded). The program may be running.
func (s *Saver) Loaded(seq uint64, f io.ReaderAt) error {
	b, err := io.ReadAll(io.NewSectionReader(f, 0, maxLoaded))
	if err != nil {
		return fmt.Errorf("read what is loaded: %w", err)
	}
	l, err := pageindex.DecodeLoaded(b)
	if err != nil {
		return err
	}
	mf := s.Restored.Load()
	if mf == nil {
		return ErrNotRestored
	}
	// The supervisor is done, gVisor may not know it yet.
	if err := mf.AwaitLoadAll(); err != nil {
		return fmt.Errorf("load memory: %w", err)
	}
	s.captureMu.Lock()
	defer s.captureMu.Unlock()
	if err := s.capturer.Adopt(seq, l, memoryOf(mf)); err != nil {
		return fmt.Errorf("compare what is loaded: %w", err)
	}
	return nil
}

// Loading reports whether a copy's memory is still being loaded.
func (s *Saver) Loading() bool {
	mf := s.Restored.Load()
	return mf != nil && mf.IsAsyncLoading()
}

// memoryOf is the program's memory. Its mappings stay where they are.
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
