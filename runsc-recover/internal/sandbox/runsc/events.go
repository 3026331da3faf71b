package runsc

import (
	"sync"

	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/sentry/wire"
)

// reporter passes a sandbox's events to the engine. Methods are safe for
// concurrent use.
type reporter struct {
	generation int

	mu     sync.Mutex
	events chan<- sandbox.Event // guarded by mu; nil once closed
}

// report passes an event on, and waits until there is room for it. An event
// after close is dropped.
func (r *reporter) report(e sandbox.Event) {
	e.Generation = r.generation
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.events != nil {
		r.events <- e
	}
}

// close tells the engine that there are no more events.
func (r *reporter) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.events)
	r.events = nil
}

// listen turns the agent's messages into events until the sandbox is gone and
// its exit was reported, then closes the events.
func (s *instance) listen() {
	_ = s.agent.serve(s.hear)
	s.kill() // a sandbox that has only hung up must not run on unwatched
	if s.serves.Load() {
		s.dead.Keep(s.queues.Move())
	}
	close(s.gone)
	s.stopPages()
	<-s.exited
	s.events.close()
}

// hear handles a message of the agent that isn't a reply.
func (s *instance) hear(m wire.Message) {
	e := sandbox.Event{Container: s.container}
	switch {
	case m.Query != nil:
		s.names.Query(*m.Query)
		return
	case m.Failure != nil:
		e.Failure = m.Failure
	case m.Checkpoint != nil:
		e.Checkpoint = m.Checkpoint
	case m.Resolved != nil:
		e.Resolved = true
	}
	s.events.report(e)
}
