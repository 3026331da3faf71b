package runsc

import (
	"context"
	"fmt"
	"os"
	"time"

	"gvisor.dev/gvisor/pkg/log"

	"runsc-recover/checkpoint/memfile"
	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/runsc-recover/internal/sandbox/rxqueue"
	"runsc-recover/sentry/wire"
)

// TakeOver implements sandbox.Sandbox. The lists of connections go from
// one sandbox to the other in files that nothing here reads.
func (g *generation) TakeOver(ctx context.Context, stopped sandbox.Sandbox) error {
	old, ok := stopped.(*generation)
	if !ok {
		return fmt.Errorf("take over from a generation of type %T", stopped)
	}
	g.stopped = old
	if g.known == nil {
		if err := g.load(func() error { return g.askConnections(ctx) }); err != nil {
			return err
		}
	}
	touched, err := memfile.New("connections-touched")
	if err != nil {
		return err
	}
	defer touched.Close()
	if err := old.reset(ctx, g.known, touched); err != nil {
		return err
	}
	if st, err := touched.Stat(); err == nil && st.Size() == 0 {
		return nil
	}
	_, err = g.ask(ctx, askTimeout, wire.Request{Verb: wire.VerbDrop}, touched)
	return err
}

// askConnections learns what the checkpoint knows of connections, ahead of
// TakeOver, while nobody waits for it.
func (g *generation) askConnections(ctx context.Context) error {
	known, err := memfile.New("connections-known")
	if err != nil {
		return err
	}
	if _, err := g.ask(ctx, askTimeout, wire.Request{Verb: wire.VerbConnections}, known); err != nil {
		known.Close()
		return err
	}
	g.known = known
	return nil
}

// Release implements sandbox.Sandbox. What arrived since the last sandbox
// stopped comes after the program runs: it is heard by its stack, not by it.
func (g *generation) Release(ctx context.Context, r sandbox.Release) error {
	stopped := g.stopped
	g.stopped = nil // or each would keep all before it
	if err := g.fence.Lift(); err != nil {
		return err
	}
	dead := g.dead.Take()
	defer dead.Close()
	shut(dead)
	if stopped != nil {
		shut(&stopped.queues)
	}
	if _, err := g.ask(ctx, askTimeout, wire.Request{Verb: wire.VerbRelease, Info: r.Info}); err != nil {
		return err
	}
	g.serves.Store(true)
	if err := g.deliverMissed(ctx, stopped, dead); err != nil {
		log.Warningf("recover: %v", err)
	}
	if stopped != nil {
		go g.deliverLate(ctx, stopped)
	}
	return nil
}

func shut(q *rxqueue.Queues) {
	if err := q.Shut(); err != nil {
		log.Warningf("recover: late frames arrive twice: %v", err)
	}
}

// Hangup implements sandbox.Sandbox: nothing of it is known elsewhere.
func (g *generation) Hangup(ctx context.Context) error {
	known, err := memfile.New("connections-known")
	if err != nil {
		return err
	}
	defer known.Close()
	return g.reset(ctx, known, known)
}

// resetTime is how long a sandbox that has sent resets is kept: they leave
// through its queues, and some behind a request for a neighbour's address.
const resetTime = 200 * time.Millisecond

// reset makes the stopped sandbox send resets for the connections that aren't
// as known has them, and list those in touched.
func (g *generation) reset(ctx context.Context, known, touched *os.File) error {
	_, err := g.ask(ctx, askTimeout, wire.Request{Verb: wire.VerbReset}, known, touched)
	if st, statErr := touched.Stat(); err == nil && (statErr != nil || st.Size() > 0) {
		g.mu.Lock()
		g.keepUntil = time.Now().Add(resetTime)
		g.mu.Unlock()
	}
	return err
}
