package lifecycle

import (
	"maps"
	"slices"

	"runsc-recover/sentry/failure"
)

// command has an operator do something.
func (m *model) command() {
	switch r := m.requests[m.open.Request]; {
	case !r.replied: // the container's socket isn't there yet
		return
	case r.refused:
		m.step(ShutdownAsked{Status: 137})
		return
	}
	id := m.request()
	e := Event(Looked{id})
	switch n := m.upTo(40); {
	case !m.l.started && m.one(2):
		e = StartAsked{id}
	case n == 0 && m.one(20):
		e = ShutdownAsked{Status: 137}
	case n == 1:
		e = MemoryLimitChanged{id}
	case n < 4 && len(m.l.schedule.Kept) > 0:
		e = CheckpointForgotten{pick(&m.world, m.l.schedule.Kept...).Seq}
	case n < 7:
		e = m.drop(id)
	case n < 11:
		e = CheckpointAsked{id}
	case n < 15:
		e = PauseAsked{id, m.one(2)}
	case n < 18:
		e = FailAsked{id, failure.State{Kind: failure.Operator, Code: 1}}
	case n < 22:
		e = SandboxAsked{id, uint64(m.upTo(2)) * m.l.version}
	case n < 24:
		e = ForegroundAsked{id, 2}
	case n < 31:
		e = SignalAsked{Request: id, Signal: pick(&m.world, 0, 1, 1, 10, 15, 15, 9*m.upTo(2)), All: m.one(3)}
	case n < 33:
		e = StartAsked{id}
	}
	switch e.(type) {
	case ShutdownAsked, CheckpointForgotten, RequestDropped:
	default:
		m.requests[id] = &asked{event: e}
	}
	m.step(e)
}

// drop has a command give up.
func (m *model) drop(id uint64) Event {
	waiting := slices.Sorted(maps.Keys(m.requests))
	waiting = slices.DeleteFunc(waiting, func(id uint64) bool { return m.requests[id].replied || id == m.open.Request })
	if len(waiting) == 0 {
		m.requests[id] = &asked{event: Looked{id}, dropped: true}
		return Looked{id}
	}
	dropped := pick(&m.world, waiting...)
	m.requests[dropped].dropped = true
	return RequestDropped{dropped}
}
