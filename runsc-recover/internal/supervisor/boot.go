package supervisor

import (
	"context"
	"time"

	"runsc-recover/runsc-recover/internal/host/osthread"
	"runsc-recover/runsc-recover/internal/sandbox"
)

// bootTime bounds booting a sandbox.
const bootTime = time.Minute

// booted is the result of a boot.
type booted struct {
	sandbox sandbox.Sandbox
	err     error
}

// boot boots a sandbox on the lasting thread. A boot that hangs keeps that thread,
// the sandbox that may still come of it is destroyed, and the next boot gets
// another thread.
func (s *supervisor) boot(ctx context.Context, o sandbox.BootOptions) (sandbox.Sandbox, error) {
	ctx, cancel := context.WithTimeout(ctx, bootTime)
	defer cancel()
	s.booting.Add(1)
	defer s.booting.Add(-1)
	done := make(chan booted, 1)
	thread := s.thread.Load()
	go thread.Do(func() {
		s.shield.Expose(func() {
			sb, err := s.booter.Boot(ctx, o)
			done <- booted{sb, err}
		})
	})
	select {
	case r := <-done:
		return r.sandbox, r.err
	case <-ctx.Done():
	}
	s.thread.CompareAndSwap(thread, osthread.New())
	go func() {
		if r := <-done; r.sandbox != nil {
			r.sandbox.Destroy()
		}
	}()
	return nil, ctx.Err()
}
