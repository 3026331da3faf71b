// Package platform is gVisor's systrap platform with two additions: the program
// is held before its first instruction, and a copy's memory is mapped in small
// pieces while it is still being loaded. A third part, such as dirty tracking,
// may be put around systrap from outside.
//
// It must not know why a sandbox is held, who opens the gate, or how memory is
// loaded.
//
// No locks. It starts no goroutines: Switch and MapUnit run on task goroutines,
// and a task that waits at the gate is interrupted like one that runs, so that
// a held kernel can be stopped and saved. None of its state is part of a
// checkpoint: the platform is made anew in the process that loads one, behind a
// closed gate of its own.
package platform

import (
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/abi/linux"
	"gvisor.dev/gvisor/pkg/context"
	"gvisor.dev/gvisor/pkg/fd"
	"gvisor.dev/gvisor/pkg/hostarch"
	"gvisor.dev/gvisor/pkg/sentry/arch"
	"gvisor.dev/gvisor/pkg/sentry/platform"
	"gvisor.dev/gvisor/pkg/sentry/platform/systrap"
)

// The platforms' names in gVisor's registry, which stand in the configurations
// of sandboxes.
const (
	// Name is the platform on which a program's writes are watched, where the
	// host's kernel helps with that.
	Name = "recover"
	// NameUnwatched is the platform on which they never are.
	NameUnwatched = "recover-unwatched"
)

// Gate holds the tasks of one sandbox until Open. The zero value isn't usable;
// see NewGate.
type Gate struct {
	// passed is set once the gate is open and first was called: from then on a
	// Switch costs one atomic load more than systrap's.
	passed atomic.Bool
	opened chan struct{}
	once   sync.Once
	// first is called once, with the context of the first Switch.
	first     func(context.Context)
	firstOnce sync.Once
}

// NewGate returns a closed gate. first is called once, on a task goroutine, with
// the context of the first task that wants to run, before it is held.
func NewGate(first func(context.Context)) *Gate {
	return &Gate{opened: make(chan struct{}), first: first}
}

// Open lets the program run. It may be called more than once.
func (g *Gate) Open() {
	g.once.Do(func() { close(g.opened) })
}

// Options are the parts of a platform that come from outside.
type Options struct {
	// Gate holds the program.
	Gate *Gate
	// Loading reports whether a copy's memory is still being loaded: then it is
	// mapped in small pieces. It is called on task goroutines, at each mapping.
	Loading func() bool
	// Wrap, where it isn't nil, is called in the sandbox with systrap, for each
	// platform that gVisor makes: the first time before the seccomp filters are
	// installed, again when a copy is loaded.
	Wrap func(platform.Platform) platform.Platform
}

// Register makes a platform known to gVisor. It must be called once for each
// name, before a sandbox is created or booted.
func Register(name string, opts Options) {
	systrapConstructor, err := platform.Lookup("systrap")
	if err != nil {
		panic("systrap isn't linked: " + err.Error())
	}
	platform.Register(name, &constructor{Constructor: systrapConstructor, opts: opts})
}

type constructor struct {
	platform.Constructor
	opts Options
}

// New implements platform.Constructor.
func (c *constructor) New(opts platform.Options) (platform.Platform, error) {
	s, err := systrap.New(opts)
	if err != nil {
		return nil, err
	}
	return c.opts.around(s), nil
}

// around puts the parts around the platform that runs the program.
func (o Options) around(p platform.Platform) platform.Platform {
	if o.Wrap != nil {
		p = o.Wrap(p)
	}
	return &gated{Platform: &onDemand{Platform: p, loading: o.Loading}, gate: o.Gate}
}

// OpenDevice implements platform.Constructor.
func (c *constructor) OpenDevice(path string) (*fd.FD, error) {
	return c.Constructor.OpenDevice(path)
}

// gated is another platform but for its contexts. Its address spaces are of
// that platform's own type, which its contexts insist on.
type gated struct {
	platform.Platform
	gate *Gate
}

// NewContext implements platform.Platform.
func (p *gated) NewContext(ctx context.Context) platform.Context {
	return &heldContext{
		Context:     p.Platform.NewContext(ctx),
		gate:        p.gate,
		interrupted: make(chan struct{}, 1),
	}
}

// heldContext is a context that waits at the gate.
type heldContext struct {
	platform.Context
	gate *Gate
	// interrupted holds a token when Interrupt was called since the last
	// wait, so that a held task can still be stopped, saved or signalled.
	interrupted chan struct{}
}

// Switch implements platform.Context.
func (c *heldContext) Switch(ctx context.Context, mm platform.MemoryManager, ac *arch.Context64, cpu int32) (*linux.SignalInfo, hostarch.AccessType, error) {
	if !c.gate.passed.Load() && !c.pass(ctx) {
		return nil, hostarch.NoAccess, platform.ErrContextInterrupt
	}
	return c.Context.Switch(ctx, mm, ac, cpu)
}

// pass waits at the gate. It returns false when Interrupt came first.
func (c *heldContext) pass(ctx context.Context) bool {
	c.gate.firstOnce.Do(func() { c.gate.first(ctx) })
	select {
	case <-c.gate.opened:
		c.gate.passed.Store(true)
		return true
	case <-c.interrupted:
		return false
	}
}

// Interrupt implements platform.Context. A task that is let through while it
// is being interrupted is turned back by systrap's own Switch.
func (c *heldContext) Interrupt() {
	if !c.gate.passed.Load() {
		select {
		case c.interrupted <- struct{}{}:
		default:
		}
	}
	c.Context.Interrupt()
}
