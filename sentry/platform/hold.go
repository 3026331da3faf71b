// Package platform holds a sandbox before its program's first instruction. It is
// a gVisor platform that wraps systrap's: while the gate is closed, no call to
// Context.Switch enters the program. Every sandbox starts behind a closed
// gate.
//
// It must not know why a sandbox is held or who opens the gate.
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

// The platforms' names in gVisor's registry. On one, what the program writes is
// watched where the host's kernel helps with it; on the other never.
const (
	Name          = "recover"
	NameUnwatched = "recover-unwatched"
)

// Gate is closed until Open. The zero value isn't usable; see NewGate.
type Gate struct {
	// passed is set once the gate is open and first was called: then a Switch
	// costs one atomic load more than systrap's.
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

// Register makes a platform known to gVisor. It must be called once for each
// name, before a sandbox is created or booted. wrap is called in the sandbox, with systrap,
// for each platform that gVisor makes: the first time before the seccomp
// filters are installed, again when a copy is loaded.
func Register(name string, g *Gate, wrap func(platform.Platform) platform.Platform) {
	systrapConstructor, err := platform.Lookup("systrap")
	if err != nil {
		panic("systrap isn't linked: " + err.Error())
	}
	platform.Register(name, &constructor{Constructor: systrapConstructor, gate: g, wrap: wrap})
}

type constructor struct {
	platform.Constructor
	gate *Gate
	wrap func(platform.Platform) platform.Platform
}

// New implements platform.Constructor.
func (c *constructor) New(opts platform.Options) (platform.Platform, error) {
	s, err := systrap.New(opts)
	if err != nil {
		return nil, err
	}
	return &gated{Platform: c.wrap(s), gate: c.gate}, nil
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
