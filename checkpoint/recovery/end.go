package recovery

import (
	"fmt"
	"time"

	"runsc-recover/checkpoint/config"
)

// giveUp ends the episode as exhausted, and the program as is configured.
func (m *machine) giveUp(now time.Time, why ...string) {
	ep := m.s.Episode
	m.do(EndEpisode{Outcome: OutcomeExhausted, Reasons: why})
	m.s.LastStatus = ep.First.status()
	m.s.Episode = nil
	m.s.Phase = Exhausted
	if ep.Attempt.Number == 0 && !m.s.RateSpent {
		m.s.Phase = Running // there was nothing to exhaust yet
	}
	if m.mayRestart(now) {
		m.s.Phase, m.s.Restarting = Exhausted, true
		m.s.Restarts = append(m.s.Restarts, now)
		m.do(RestartFresh{Reasons: why})
		return
	}
	if ep.Gone {
		m.end(m.s.LastStatus, why...)
		return
	}
	m.do(Refuse{Reasons: why})
}

// mayRestart: fresh starts are bounded by the same rate as episodes, so that a
// program that fails at once each time comes to an end.
func (m *machine) mayRestart(now time.Time) bool {
	m.s.Restarts = within(m.s.Restarts, now)
	return m.cfg.Exhausted == config.ExhaustedRestart && len(m.s.Restarts) < m.cfg.MaxRate
}

// The refused program ends, or says that it is well.

func failWhenExhausted(m *machine, e Failed) {
	if m.s.Restarting {
		return
	}
	if m.s.RateSpent && m.roomForEpisode(e.Now) {
		beginEpisode(m, e)
		return
	}
	m.do(Refuse{Reasons: []string{"recovery is exhausted"}})
}

func dieWhenExhausted(m *machine, e SandboxDied) {
	if m.s.Restarting {
		return
	}
	m.end(e.failure().status(), "the sandbox died after recovery was exhausted")
}

func exitWhenExhausted(m *machine, e Exited) {
	if m.s.Restarting {
		return
	}
	exit(m, e)
}

func resolvedWhenExhausted(m *machine, _ Resolved) {
	if !m.s.Restarting && !m.s.RateSpent {
		m.s.Phase = Running
	}
}

// restarted: nothing of the former run is history of the new one.
func restarted(m *machine, _ Restarted) {
	if !m.s.Restarting {
		return
	}
	m.removeOrphaned(append(seqs(m.s.Lineage), m.s.Orphaned...)...)
	m.s.Lineage, m.s.Orphaned = nil, nil
	m.s.Restarting, m.s.RateSpent = false, false
	m.s.Phase = Running
}

func restartFailed(m *machine, e RestartFailed) {
	if m.s.Restarting {
		m.end(m.s.LastStatus, "the container could not be started afresh: "+e.Reason)
	}
}

// The container ends.

func exit(m *machine, e Exited) {
	m.end(e.Status, fmt.Sprintf("the program ended with status %d", e.Status))
}

func shutdown(m *machine, e Shutdown) {
	const why = "the operator ended the container"
	if m.s.Episode != nil {
		m.do(CancelTimer{}, EndAttempt{Outcome: OutcomeOpen, Reasons: []string{why}})
		m.do(EndEpisode{Outcome: OutcomeOpen, Reasons: []string{why}})
	}
	m.end(e.Status, why)
}

func (m *machine) end(status int, why ...string) {
	m.s.Phase = Ended
	m.s.Episode = nil
	m.s.Restarting = false
	m.do(Exit{Status: status, Reasons: why})
}

// The operator asks for a failure.

func operatorFail(m *machine, _ OperatorFail) {
	switch {
	case !m.cfg.Enabled:
		m.reject("recovery is not enabled")
	case len(m.s.Lineage) == 0:
		m.reject("there is no checkpoint to go back to")
	default:
		m.do(Fail{})
	}
}

func rejectDuringRecovery(m *machine, _ OperatorFail) { m.reject("a recovery is under way") }
func rejectWhenExhausted(m *machine, _ OperatorFail)  { m.reject("recovery is exhausted") }
func rejectWhenEnded(m *machine, _ OperatorFail)      { m.reject("the container has ended") }

func (m *machine) reject(why string) { m.do(Reject{Reasons: []string{why}}) }
