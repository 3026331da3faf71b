package platform

import (
	"errors"
	"testing"
	"testing/synctest"

	"gvisor.dev/gvisor/pkg/abi/linux"
	"gvisor.dev/gvisor/pkg/context"
	"gvisor.dev/gvisor/pkg/hostarch"
	"gvisor.dev/gvisor/pkg/sentry/arch"
	"gvisor.dev/gvisor/pkg/sentry/platform"

	"runsc-recover/test/expect"
)

// The names stand in the configurations of sandboxes that run.
func TestNamesStay(t *testing.T) {
	expect.Equal(t, "name", Name, "recover")
	expect.Equal(t, "name of the one that watches nothing", NameUnwatched, "recover-unwatched")
}

// runner is a platform of which only contexts and units of mapping are asked.
type runner struct {
	platform.Platform
	unit     uint64
	contexts []*runContext
}

func (r *runner) MapUnit() uint64 { return r.unit }

func (r *runner) NewContext(context.Context) platform.Context {
	c := &runContext{}
	r.contexts = append(r.contexts, c)
	return c
}

// runContext counts how often the program was entered and interrupted.
type runContext struct {
	platform.Context
	entered, interrupted int
}

var errEntered = errors.New("entered")

func (c *runContext) Switch(context.Context, platform.MemoryManager, *arch.Context64, int32) (*linux.SignalInfo, hostarch.AccessType, error) {
	c.entered++
	return nil, hostarch.NoAccess, errEntered
}

func (c *runContext) Interrupt() { c.interrupted++ }

func enter(c platform.Context) error {
	_, _, err := c.Switch(context.Background(), nil, nil, 0)
	return err
}

// TestProgramIsHeld: no task enters the program before the gate opens, and an
// interrupt takes a held task out.
func TestProgramIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		below := &runner{}
		firsts := 0
		g := NewGate(func(context.Context) { firsts++ })
		p := Options{Gate: g}.around(below)
		one, other := p.NewContext(context.Background()), p.NewContext(context.Background())
		results := make(chan error, 2)
		go func() { results <- enter(one) }()
		synctest.Wait()
		one.Interrupt()
		expect.Equal(t, "a task that is interrupted", <-results, error(platform.ErrContextInterrupt))
		expect.Equal(t, "interrupts below", below.contexts[0].interrupted, 1)

		for _, c := range []platform.Context{one, other} {
			go func() { results <- enter(c) }()
		}
		synctest.Wait()
		expect.Equal(t, "tasks that got through", len(results), 0)
		g.Open()
		g.Open()
		for range 2 {
			expect.Equal(t, "a task that was held", <-results, errEntered)
		}
		expect.Equal(t, "a task later", enter(one), errEntered)
		expect.Equal(t, "calls of first", firsts, 1)
		expect.Equal(t, "entries", below.contexts[0].entered+below.contexts[1].entered, 3)
	})
}

// TestInterruptBeforeSwitch: an interrupt isn't lost when it comes before its
// task has reached the gate, and is spent by one Switch.
func TestInterruptBeforeSwitch(t *testing.T) {
	below := &runner{}
	g := NewGate(func(context.Context) {})
	c := Options{Gate: g}.around(below).NewContext(context.Background())
	c.Interrupt()
	c.Interrupt()
	expect.Equal(t, "the next Switch", enter(c), error(platform.ErrContextInterrupt))
	g.Open()
	expect.Equal(t, "the Switch after it", enter(c), errEntered)
	c.Interrupt() // is the platform's below from now on
	expect.Equal(t, "a Switch of a program that runs", enter(c), errEntered)
	expect.Equal(t, "interrupts below", below.contexts[0].interrupted, 3)
}

func TestMapUnit(t *testing.T) {
	loading := true
	p := Options{Gate: NewGate(nil), Loading: func() bool { return loading }}.around(&runner{unit: 32 << 20})
	expect.Equal(t, "unit while memory is loaded", p.MapUnit(), demandUnit)
	loading = false
	expect.Equal(t, "unit later", p.MapUnit(), 32<<20)
}
