package supervisor

import (
	"context"
	"time"

	"runsc-recover/runsc-recover/internal/host/osthread"
	"runsc-recover/runsc-recover/internal/sandbox"
)

// boot runs the booter on the lasting thread. A boot that hangs keeps that
// thread, and what it may still make is destroyed; the next boot gets another.
func (s *supervisor) boot(b sandbox.Booter) func(context.Context, sandbox.BootOptions) (sandbox.Sandbox, error) {
	type result struct {
		gen sandbox.Sandbox
		err error
	}
	return func(ctx context.Context, o sandbox.BootOptions) (sandbox.Sandbox, error) {
		ctx, cancel := context.WithTimeout(ctx, bootTime)
		defer cancel()
		s.booting.Add(1)
		defer s.booting.Add(-1)
		done := make(chan result, 1)
		thread := s.thread.Load()
		go thread.Do(func() {
			s.shield.Expose(func() {
				gen, err := b.Boot(ctx, o)
				done <- result{gen, err}
			})
		})
		select {
		case r := <-done:
			return r.gen, r.err
		case <-ctx.Done():
		}
		s.thread.CompareAndSwap(thread, osthread.New())
		go func() {
			if r := <-done; r.gen != nil {
				r.gen.Destroy()
			}
		}()
		return nil, ctx.Err()
	}
}

// bootTime bounds booting a sandbox.
const bootTime = time.Minute
