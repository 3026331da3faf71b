package schedule

// handler changes the machine's state and adds actions, in answer to an event.
type handler func(*machine, Event)

// transition is the machine: the meaning of each event in each phase. An event
// that a phase doesn't list has the meaning that it has in every phase, or none.
func transition(p Phase, e Event) handler {
	everywhere := [kinds]handler{
		kindBegan:         on(began),
		kindReleased:      on(forgetSpacing),
		kindStopped:       on(stopped),
		kindProgramAsked:  on(queueProgram),
		kindOperatorAsked: on(queueOperator),
		kindRemoved:       on(removedAside),
		kindCompacted:     on(compactedAside),
		kindForgotten:     on(forgotten),
		kindMemorySeen:    on(memorySeen),
	}
	idle := [kinds]handler{
		kindResumed:       on(resumed),
		kindReleased:      on(released),
		kindDue:           on(due),
		kindProgramAsked:  on(programAsked),
		kindOperatorAsked: on(operatorAsked),
	}
	h := [phases][kinds]handler{
		Idle:    idle,
		Waiting: idle,
		FindingRoom: {
			kindMemoryRead: on(findRoom),
			kindRemoved:    on(roomMade),
			kindCompacted:  on(roomCompacted),
		},
		Shrinking: {
			kindUsageRead: on(shrink),
			kindRemoved:   on(shrunk),
			kindCompacted: on(shrinkCompacted),
		},
		Taking: {
			kindTaken: on(taken),
		},
		Retaining: {
			kindRemoved: on(retained),
		},
		Trimming: {
			kindUsageRead: on(shrink),
			kindRemoved:   on(shrunk),
			kindCompacted: on(shrinkCompacted),
		},
	}[p][e.kind()]
	if h == nil {
		h = everywhere[e.kind()]
	}
	if h == nil {
		return func(*machine, Event) {}
	}
	return h
}

// on makes a handler of a function that takes its event's own type.
func on[E Event](f func(*machine, E)) handler {
	return func(m *machine, e Event) { f(m, e.(E)) }
}
