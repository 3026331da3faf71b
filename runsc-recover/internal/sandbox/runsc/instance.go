package runsc

import (
	"context"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"gvisor.dev/gvisor/runsc/config"
	"gvisor.dev/gvisor/runsc/container"
	gvsandbox "gvisor.dev/gvisor/runsc/sandbox"

	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/runsc-recover/internal/sandbox/dockerdns"
	"runsc-recover/runsc-recover/internal/sandbox/fence"
	"runsc-recover/runsc-recover/internal/sandbox/lazypages"
	"runsc-recover/runsc-recover/internal/sandbox/rxqueue"
	"runsc-recover/sentry/failure"
	"runsc-recover/sentry/wire"
)

// instance is one sandbox. It implements sandbox.Sandbox.
type instance struct {
	// The following are immutable.

	root      string
	id        string // the sandbox's, and of its container for gVisor
	container string // the name of the one container
	conf      *config.Config
	c         *container.Container
	sb        *gvsandbox.Sandbox // of c, whose Destroy clears its own
	gofer     int                // its pid, 0 for none
	agent     *channel
	events    *reporter
	names     *dockerdns.Relay
	fence     *fence.Fence
	dead      *rxqueue.Keeper // the Booter's
	steps

	queues rxqueue.Queues
	// serves is set while the network is left to this sandbox.
	serves atomic.Bool
	// pages gives a copy its memory; nil for a sandbox that isn't a copy, or whose
	// image was loaded as a whole.
	pages atomic.Pointer[lazypages.Server]

	// The following belong to the caller of Restore, TakeOver and Release, in
	// this order.

	// known lists the connections of a copy's checkpoint. Destroy closes it.
	known *os.File
	// stopped is the sandbox that a copy takes over from, from TakeOver to
	// Release; nil for a sandbox that died.
	stopped *instance

	// loading is held while gVisor starts or restores the sandbox. Whoever
	// reports its end, or destroys it, comes after: a program may be over before
	// its start has returned.
	loading sync.Mutex

	mu sync.Mutex
	// The following are guarded by mu.

	network   sandbox.Network
	destroyed bool
	// keepUntil is the time at which Destroy may kill the sandbox: its resets
	// have left by then.
	keepUntil time.Time
}

// steps are closed one after the other in the life of a sandbox.
type steps struct {
	// started: there is a program to wait for. Closed by Start and Restore.
	started chan struct{}
	// adopted: the copy knows its checkpoint's pages, or never will. Closed by
	// adopt.
	adopted chan struct{}
	// gone: the sandbox has hung up. Closed by listen.
	gone chan struct{}
	// reaped: the sandbox's end, or its program's, is known. Closed by await.
	reaped chan struct{}
	// exited: that end was reported. Closed by await.
	exited chan struct{}
}

func newSteps() steps {
	c := func() chan struct{} { return make(chan struct{}) }
	return steps{started: c(), adopted: c(), gone: c(), reaped: c(), exited: c()}
}

func newInstance(opts sandbox.BootOptions, conf *config.Config, c *container.Container, ch *channel, around *fence.Fence) *instance {
	s := &instance{
		root:      opts.Root,
		id:        opts.ID,
		container: opts.Containers[0].Name,
		conf:      conf,
		c:         c,
		sb:        c.Sandbox,
		gofer:     c.GoferPid.Load(),
		agent:     ch,
		events:    &reporter{generation: opts.Generation, events: opts.Events},
		fence:     around,
		steps:     newSteps(),
		network:   opts.Network,
	}
	s.names = dockerdns.NewRelay(s.answer)
	return s
}

// Handle implements sandbox.Life.
func (s *instance) Handle() sandbox.Handle {
	return sandbox.Handle{Root: s.conf.RootDir, ID: s.id}
}

// Pids implements sandbox.Life.
func (s *instance) Pids() []int {
	var pids []int
	for _, pid := range []int{s.sb.Pid.Load(), s.c.GoferPid.Load()} {
		if pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids
}

// SetMemory implements sandbox.Life.
func (s *instance) SetMemory(ctx context.Context, size uint64) error {
	_, err := s.ask(ctx, askTimeout, wire.Request{Verb: wire.VerbMemory, Memory: size})
	return err
}

// Pause implements sandbox.Operating.
func (s *instance) Pause(ctx context.Context) error {
	return s.bounded(ctx, askTimeout, "pause sandbox", func() error { return s.sb.Pause(s.id) })
}

// Resume implements sandbox.Operating.
func (s *instance) Resume(ctx context.Context) error {
	return s.bounded(ctx, askTimeout, "resume sandbox", func() error { return s.sb.Resume(s.id) })
}

// Fail implements sandbox.Operating.
func (s *instance) Fail(ctx context.Context, f failure.State) error {
	_, err := s.ask(ctx, askTimeout, wire.Request{Verb: wire.VerbFail, Failure: &f})
	return err
}

// Refuse implements sandbox.Operating.
func (s *instance) Refuse(ctx context.Context) error {
	_, err := s.ask(ctx, askTimeout, wire.Request{Verb: wire.VerbRefuse})
	s.dead.Drop()
	return err
}

// load runs f, by which gVisor fills the sandbox. It ends when the sandbox is
// killed. Errors: sandbox.ErrGone when the sandbox was destroyed before.
func (s *instance) load(f func() error) error {
	s.loading.Lock()
	defer s.loading.Unlock()
	if s.c.Sandbox == nil {
		return sandbox.ErrGone
	}
	return f()
}

// kill ends the sandbox process, and with it everything in the sandbox.
func (s *instance) kill() {
	if pid := s.sb.Pid.Load(); pid > 0 {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
}

// answer hands the resolver's answer to a program. A program, or sandbox, that
// is gone by then doesn't get it.
func (s *instance) answer(d wire.Datagram) {
	_, _ = s.ask(context.Background(), askTimeout, wire.Request{Verb: wire.VerbAnswer, Answer: &d})
}
