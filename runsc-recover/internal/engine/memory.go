package engine

import (
	"context"
	"errors"

	"runsc-recover/runsc-recover/internal/host/procusage"
	"runsc-recover/runsc-recover/internal/sandbox"
)

// tellMemory has the program of a sandbox find as much memory as the container
// may use now: its limit, or the host's memory where that is less. What the
// program believes is no reason to fail for.
func (e *Engine) tellMemory(ctx context.Context, gen sandbox.Sandbox) {
	if e.opts.Memory == nil {
		return
	}
	use, err := e.opts.Memory()
	if err == nil {
		err = gen.SetMemory(ctx, usableMemory(use.Limit, procusage.HostMemory()))
	}
	if err != nil && !errors.Is(err, sandbox.ErrGone) {
		e.log.Warn("tell program of its memory", "error", err)
	}
}

// usableMemory is what a container with a limit, 0 for none, can use of a
// host's memory, in bytes.
func usableMemory(limit, host uint64) uint64 {
	if limit == 0 {
		return host
	}
	return min(limit, host)
}
