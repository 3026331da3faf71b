package lifecycle

import (
	"maps"
	"slices"

	"runsc-recover/runsc-recover/internal/engine/event"
	"runsc-recover/sentry/failure"
)

// command has an operator do something.
func (m *model) command() {
	switch r := m.requests[m.open.Request]; {
	case !r.replied: // the container's socket isn't there yet
		return
	case r.refused:
		m.step(event.ShutdownAsked{Status: 137})
		return
	}
	id := m.request()
	e := event.Event(event.Looked{Request: id})
	switch n := m.upTo(40); {
	case !m.l.started && m.one(2):
		e = event.StartAsked{Request: id}
	case n == 0 && m.one(20):
		e = event.ShutdownAsked{Status: 137}
	case n == 1:
		e = event.MemoryLimitChanged{Request: id}
	case n < 4 && len(m.l.schedule.Kept) > 0:
		e = event.CheckpointForgotten{Seq: pick(&m.world, m.l.schedule.Kept...).Seq}
	case n < 7:
		e = m.drop(id)
	case n < 11:
		e = event.CheckpointAsked{Request: id}
	case n < 15:
		e = event.PauseAsked{Request: id, Paused: m.one(2)}
	case n < 18:
		e = event.FailAsked{Request: id, Failure: failure.State{Kind: failure.Operator, Code: 1}}
	case n < 22:
		e = event.SandboxAsked{Request: id, After: uint64(m.upTo(2)) * m.l.version}
	case n < 24:
		e = event.ForegroundAsked{Request: id, Signal: 2}
	case n < 31:
		e = event.SignalAsked{Request: id, Signal: pick(&m.world, 0, 1, 1, 10, 15, 15, 9*m.upTo(2)), All: m.one(3)}
	case n < 33:
		e = event.StartAsked{Request: id}
	}
	switch e.(type) {
	case event.ShutdownAsked, event.CheckpointForgotten, event.RequestDropped:
	default:
		m.requests[id] = &asked{event: e}
	}
	m.step(e)
}

// drop has a command give up.
func (m *model) drop(id uint64) event.Event {
	waiting := slices.Sorted(maps.Keys(m.requests))
	waiting = slices.DeleteFunc(waiting, func(id uint64) bool { return m.requests[id].replied || id == m.open.Request })
	if len(waiting) == 0 {
		m.requests[id] = &asked{event: event.Looked{Request: id}, dropped: true}
		return event.Looked{Request: id}
	}
	dropped := pick(&m.world, waiting...)
	m.requests[dropped].dropped = true
	return event.RequestDropped{Request: dropped}
}
