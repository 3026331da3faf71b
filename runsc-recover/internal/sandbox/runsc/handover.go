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

// TakeOver implements sandbox.Handover. The lists of connections go from
// one sandbox to the other in files that aren't read here.
func (s *instance) TakeOver(ctx context.Context, stopped sandbox.Sandbox) error {
	old, ok := stopped.(*instance)
	if !ok {
		return fmt.Errorf("take over from a sandbox of type %T", stopped)
	}
	s.stopped = old
	if s.known == nil {
		if err := s.load(func() error { return s.askConnections(ctx) }); err != nil {
			return err
		}
	}
	touched, err := memfile.New("connections-touched")
	if err != nil {
		return err
	}
	defer touched.Close()
	if err := old.reset(ctx, s.known, touched); err != nil {
		return err
	}
	if isEmpty(touched) {
		return nil
	}
	_, err = s.ask(ctx, askTimeout, wire.Request{Verb: wire.VerbDrop}, touched)
	return err
}

// askConnections gets the list of the checkpoint's connections, ahead of
// TakeOver, while nobody waits for it.
//
// Preconditions: s.loading is held.
func (s *instance) askConnections(ctx context.Context) error {
	known, err := memfile.New("connections-known")
	if err != nil {
		return err
	}
	if _, err := s.ask(ctx, askTimeout, wire.Request{Verb: wire.VerbConnections}, known); err != nil {
		known.Close()
		return err
	}
	s.known = known
	return nil
}

// Release implements sandbox.Life. Frames that arrived since the last sandbox
// stopped are delivered once the program runs: the copy's network stack takes
// them, and the program needn't wait.
func (s *instance) Release(ctx context.Context, r sandbox.Release) error {
	stopped := s.stopped
	s.stopped = nil // or each generation would keep all before it in memory
	if err := s.fence.Lift(); err != nil {
		return err
	}
	dead := s.dead.Take()
	defer dead.Close()
	shut(dead)
	if stopped != nil {
		shut(&stopped.queues)
	}
	if _, err := s.ask(ctx, askTimeout, wire.Request{Verb: wire.VerbRelease, Info: r.Info}); err != nil {
		return err
	}
	s.serves.Store(true)
	if err := s.deliverArrived(ctx, stopped, dead); err != nil {
		log.Warningf("recover: %v", err)
	}
	if stopped != nil {
		go s.deliverLate(ctx, stopped)
	}
	return nil
}

// shut keeps frames that arrive from now on out of the queues of a sandbox that
// is stopped or dead: they are in the copy's.
func shut(q *rxqueue.Queues) {
	if err := q.Shut(); err != nil {
		log.Warningf("recover: late frames arrive twice: %v", err)
	}
}

// Hangup implements sandbox.Handover: no connection is known elsewhere.
func (s *instance) Hangup(ctx context.Context) error {
	none, err := memfile.New("connections-known")
	if err != nil {
		return err
	}
	defer none.Close()
	return s.reset(ctx, none, none)
}

// resetTime is the time for which a sandbox that has sent resets is kept: they
// leave through its queues, and some behind a request for a neighbour's address.
const resetTime = 200 * time.Millisecond

// reset makes the stopped sandbox send resets for the connections that aren't
// as known has them, and list those in touched.
func (s *instance) reset(ctx context.Context, known, touched *os.File) error {
	if _, err := s.ask(ctx, askTimeout, wire.Request{Verb: wire.VerbReset}, known, touched); err != nil {
		return err
	}
	if !isEmpty(touched) {
		s.mu.Lock()
		s.keepUntil = time.Now().Add(resetTime)
		s.mu.Unlock()
	}
	return nil
}

// isEmpty reports whether a sandbox wrote nothing into a file.
func isEmpty(f *os.File) bool {
	st, err := f.Stat()
	return err == nil && st.Size() == 0
}
