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
	// hangupTime bounds the time between the ends of gVisor's socket and the
	// agent's when a sandbox dies.
	hangupTime = time.Second
	// saveTimeout allows for a checkpoint of tens of gigabytes.
	saveTimeout = 2 * time.Minute
)

// ask sends a request to the agent, bounded by the deadline d.
func (s *instance) ask(ctx context.Context, d time.Duration, req wire.Request, files ...*os.File) (wire.Reply, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	r, err := s.agent.call(ctx, req, files...)
	return r, translate(err)
}

// bounded runs a call to gVisor that has no deadline of its own. When the
// deadline passes, the call is left behind: it ends with the sandbox.
func (s *instance) bounded(ctx context.Context, d time.Duration, name string, f func() error) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return s.answered(name, err)
	case <-ctx.Done():
		return fmt.Errorf("%s: sandbox doesn't answer: %w", name, ctx.Err())
	}
}

// answered adds the name of a call to gVisor to its error. Unless the error came
// from the sandbox, the sandbox may be gone, which the agent's channel tells:
// gVisor has texts alone for that.
func (s *instance) answered(name string, err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s: %w", name, err)
	if _, remote := errors.AsType[urpc.RemoteError](err); remote {
		return err
	}
	select {
	case <-s.gone:
		return fmt.Errorf("%w: %w", sandbox.ErrGone, err)
	case <-time.After(hangupTime):
		return err
	}
}
