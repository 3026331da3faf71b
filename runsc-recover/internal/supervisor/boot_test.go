package supervisor

import (
	"context"
	"errors"
	"testing"

	"runsc-recover/runsc-recover/internal/host/osthread"
	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/test/expect"
)

// fakeBooter boots sandboxes; the boot of generation 1 hangs.
type fakeBooter struct {
	hangs   chan struct{} // closed when the boot has begun to hang
	release chan struct{} // closed when it may end
	first   *fakeSandbox
	err     error // of all others
}

func (b *fakeBooter) Boot(_ context.Context, o sandbox.BootOptions) (sandbox.Sandbox, error) {
	if o.Generation == 1 {
		close(b.hangs)
		<-b.release
		return b.first, nil
	}
	return nil, b.err
}

type fakeSandbox struct {
	sandbox.Sandbox
	destroyed chan struct{}
}

func (s *fakeSandbox) Destroy() error {
	close(s.destroyed)
	return nil
}

// A boot that hangs doesn't keep the next one from a thread, and the sandbox that
// comes of it too late is destroyed.
func TestABootThatHangs(t *testing.T) {
	b := &fakeBooter{
		hangs: make(chan struct{}), release: make(chan struct{}),
		first: &fakeSandbox{destroyed: make(chan struct{})}, err: errors.New("no sandbox"),
	}
	s := supervisor{booter: b}
	s.thread.Store(osthread.New())
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-b.hangs
		expect.Equal(t, "children are kept from the reaper", s.keepsStatus(1), true)
		cancel()
	}()
	_, err := s.boot(ctx, sandbox.BootOptions{Generation: 1})
	expect.Equal(t, "given up", errors.Is(err, context.Canceled), true)
	_, err = s.boot(t.Context(), sandbox.BootOptions{Generation: 2})
	expect.Equal(t, "the next", errors.Is(err, b.err), true)
	expect.Equal(t, "no boot is under way", s.keepsStatus(1), false)
	close(b.release)
	<-b.first.destroyed
}
