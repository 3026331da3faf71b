package standby

// handler changes the machine's state and adds actions, in answer to an event.
type handler func(*machine, Event)

// transition is the machine: the meaning of each event at each stage. An event
// that a stage doesn't list is ignored there: it came too late.
func transition(s stage, e Event) handler {
	h := [stages][kinds]handler{
		none: {
			kindReconcile: on(reconcile),
			kindWeighed:   on(weighed),
			kindClaim:     on(claimNone),
			kindRetry:     on(retry),
			kindRecovered: on(recovered),
		},
		preparing: {
			kindReconcile:   on(reconcile),
			kindWeighed:     on(weighed),
			kindBooted:      on(booted),
			kindRestored:    on(restored),
			kindPagesLoaded: on(pagesLoaded),
			kindGone:        on(gone),
			kindDamaged:     on(damaged),
			kindClaim:       on(claim),
			kindDrop:        on(drop),
			kindRetry:       on(retry),
			kindRecovered:   on(recovered),
		},
		standing: {
			kindReconcile:   on(reconcile),
			kindWeighed:     on(weighed),
			kindPagesLoaded: on(pagesLoaded),
			kindGone:        on(gone),
			kindDamaged:     on(damaged),
			kindClaim:       on(claim),
			kindDrop:        on(drop),
			kindRetry:       on(retry),
			kindRecovered:   on(recovered),
		},
		renewing: {
			kindReconcile:   on(reconcile),
			kindWeighed:     on(weighed),
			kindBooted:      on(booted),
			kindRestored:    on(restored),
			kindPagesLoaded: on(pagesLoaded),
			kindGone:        on(gone),
			kindDamaged:     on(damaged),
			kindClaim:       on(claim),
			kindDrop:        on(drop),
			kindRetry:       on(retry),
			kindRecovered:   on(recovered),
		},
	}[s][e.kind()]
	if h == nil {
		return func(*machine, Event) {}
	}
	return h
}

// on makes a handler of a function that takes its event's own type.
func on[E Event](f func(*machine, E)) handler {
	return func(m *machine, e Event) { f(m, e.(E)) }
}
