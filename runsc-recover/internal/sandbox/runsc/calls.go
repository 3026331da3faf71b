package runsc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"gvisor.dev/gvisor/pkg/urpc"

	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/sentry/wire"
)

// Deadlines of requests to a sandbox, beside the caller's.
const (
	askTimeout = 10 * time.Second
	// hangupTime is how much later than gVisor's socket the agent's may close
	// when a sandbox dies.
	hangupTime = time.Second
	// saveTimeout allows for a checkpoint of tens of gigabytes.
	saveTimeout = 2 * time.Minute
)

// ask sends a request to the agent, bounded by the deadline d.
func (g *generation) ask(ctx context.Context, d time.Duration, req wire.Request, files ...*os.File) (wire.Reply, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	r, err := g.ch.call(ctx, req, files...)
	return r, translate(err)
}

// bounded runs a call to gVisor that has no deadline of its own. When the
// deadline passes, the call is left behind: it ends with the sandbox.
func (g *generation) bounded(ctx context.Context, d time.Duration, what string, f func() error) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return g.answered(what, err)
	case <-ctx.Done():
		return fmt.Errorf("%s: sandbox doesn't answer: %w", what, ctx.Err())
	}
}

// answered names what a call to gVisor was for in its error. Unless that came
// from the sandbox it may be that there is none any more, which the agent's
// channel tells: gVisor has texts alone for it.
func (g *generation) answered(what string, err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s: %w", what, err)
	if _, remote := errors.AsType[urpc.RemoteError](err); remote {
		return err
	}
	select {
	case <-g.gone:
		return fmt.Errorf("%w: %w", sandbox.ErrGone, err)
	case <-time.After(hangupTime):
		return err
	}
}

// answer hands the resolver's answer to a program. A program, or sandbox, that
// is gone by then doesn't get it.
func (g *generation) answer(d wire.Datagram) {
	_, _ = g.ask(context.Background(), askTimeout, wire.Request{Verb: wire.VerbAnswer, Answer: &d})
}
