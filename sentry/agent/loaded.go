package agent

import (
	"fmt"
	"io"

	"gvisor.dev/gvisor/pkg/fd"
	"gvisor.dev/gvisor/pkg/hostarch"
	"gvisor.dev/gvisor/pkg/sentry/memmap"
	"gvisor.dev/gvisor/pkg/sentry/pgalloc"

	"runsc-recover/checkpoint/pageindex"
	"runsc-recover/sentry/capture"
	"runsc-recover/sentry/wire"
)

// maxLoaded bounds what is read of a request's file: the hashes of 1 TiB.
const maxLoaded = 2 << 30

// loaded serves VerbLoaded: what the copy was restored from becomes what its
// first checkpoint is compared with. The program may be running.
func (a *Agent) loaded(seq uint64, f *fd.FD) *wire.Error {
	b, err := io.ReadAll(io.NewSectionReader(f, 0, maxLoaded))
	if err != nil {
		return wireError(wire.CodeInternal, fmt.Errorf("read what is loaded: %w", err))
	}
	l, err := pageindex.DecodeLoaded(b)
	if err != nil {
		return wireError(wire.CodeMalformed, err)
	}
	mf := a.memory.Load()
	if mf == nil {
		return wireError(wire.CodeState, errNoKernel)
	}
	// The supervisor is done, gVisor may not know it yet.
	if err := mf.AwaitLoadAll(); err != nil {
		return wireError(wire.CodeInternal, fmt.Errorf("load memory: %w", err))
	}
	a.captureMu.Lock()
	defer a.captureMu.Unlock()
	if err := a.capturer.Adopt(seq, l, memoryOf(mf)); err != nil {
		return wireError(wire.CodeInternal, fmt.Errorf("compare what is loaded: %w", err))
	}
	return nil
}

// loading reports whether a copy's memory is still being loaded.
func (a *Agent) loading() bool {
	mf := a.memory.Load()
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
