package runsc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"gvisor.dev/gvisor/pkg/log"
	"gvisor.dev/gvisor/runsc/boot"
	"gvisor.dev/gvisor/runsc/config"

	"runsc-recover/checkpoint/memfile"
	"runsc-recover/runsc-recover/internal/sandbox/rxqueue"
	"runsc-recover/sentry/wire"
)

// findQueues finds the packet sockets of a sandbox for which gVisor has made
// them.
func (g *generation) findQueues() {
	if g.conf.Network != config.NetworkSandbox {
		return
	}
	if err := g.queues.Find(g.sb.Pid.Load()); err != nil {
		log.Warningf("recover: unread frames will be lost with the sandbox: %v", err)
	}
}

// deliverMissed gives the copy what has arrived since its predecessor stopped:
// what that has kept, if it lives and isn't nil, and what it hasn't read.
func (g *generation) deliverMissed(ctx context.Context, stopped *generation, dead *rxqueue.Queues) error {
	unheard := []map[string][]byte{dead.Unread()}
	var errs []error
	if stopped != nil {
		unheard = append(unheard, stopped.queues.Unread())
		errs = append(errs, g.deliverKept(ctx, stopped))
	}
	for _, frames := range unheard {
		for link, b := range frames {
			errs = append(errs, g.deliverBytes(ctx, link, b))
		}
	}
	return errors.Join(errs...)
}

// deliverLate passes on, while the stopped sandbox is still there, what was on
// its way through that: under load its threads wait for a processor.
func (g *generation) deliverLate(ctx context.Context, stopped *generation) {
	const first, last = time.Millisecond, 64 * time.Millisecond
	for wait := first; wait <= last; wait *= 2 {
		time.Sleep(wait)
		if err := g.deliverKept(ctx, stopped); err != nil {
			return // one of the two is gone
		}
	}
}

func (g *generation) deliverBytes(ctx context.Context, link string, frames []byte) error {
	f, err := memfile.New("frames")
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(frames); err != nil {
		return fmt.Errorf("write frames: %w", err)
	}
	return g.deliver(ctx, link, f)
}

// deliverKept passes on what the stopped sandbox has kept, in files that
// nothing here reads.
func (g *generation) deliverKept(ctx context.Context, stopped *generation) error {
	var errs []error
	for _, l := range g.links() {
		errs = append(errs, g.deliverKeptAt(ctx, stopped, l.Name))
	}
	return errors.Join(errs...)
}

func (g *generation) deliverKeptAt(ctx context.Context, stopped *generation, link string) error {
	f, err := memfile.New("frames")
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := stopped.ask(ctx, askTimeout, wire.Request{Verb: wire.VerbKept, Link: link}, f); err != nil {
		return fmt.Errorf("ask what arrived at %s: %w", link, err)
	}
	if st, err := f.Stat(); err == nil && st.Size() == 0 {
		return nil
	}
	return g.deliver(ctx, link, f)
}

func (g *generation) deliver(ctx context.Context, link string, f *os.File) error {
	if _, err := g.ask(ctx, askTimeout, wire.Request{Verb: wire.VerbDeliver, Link: link}, f); err != nil {
		return fmt.Errorf("deliver what arrived at %s: %w", link, err)
	}
	return nil
}

// links are the container's interfaces, as far as they are known.
func (g *generation) links() []boot.FDBasedLink {
	g.mu.Lock()
	defer g.mu.Unlock()
	if args, ok := g.network.(*boot.CreateLinksAndRoutesArgs); ok {
		return args.FDBasedLinks
	}
	return nil
}
