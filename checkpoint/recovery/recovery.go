// Package recovery is the recovery state machine of one container: the answer to
// a failure, as a pure function of the state so far and the event.
//
//	Running ──failure──▶ Restoring ──released──▶ Probation ──outlived──▶ Running
//	                         ▲                       │
//	                         └────── failure ◀───────┘
//	Running, Probation ──budget spent──▶ Exhausted ──exited──▶ Ended, or ──restarted──▶ Running
//
// # Time
//
// Points in the program's life are run time: how long it ran along the lineage
// that led there. A restore sets run time back to the checkpoint's, so
// the second copy's failure can be compared with the first one's, and a paused
// container doesn't age. Wall time is used for the episode rate alone.
//
// # Lineages
//
// The lineage is the sequence of checkpoints that led to the running copy. A
// restore cuts it off behind the checkpoint restored; the checkpoints behind that
// are orphaned: they hold states that led to a failure. Orphaned checkpoints are
// never chosen again except by an escalation that began when they were on the
// lineage, and they are removed when the episode ends as recovered.
//
// # Escalations
//
// Each failure identity met in an episode has an escalation of its own. Its
// candidates are fixed when it begins: the lineage as it was then. A coinciding
// failure climbs the same escalation, so that "an earlier checkpoint" is always
// earlier, and a checkpoint that a failing copy took during probation, which
// may hold the cause of the failure, is never taken for an early one. A
// different failure inside probation begins its own escalation, on the lineage of
// that moment, which includes the copy's checkpoints: going back to before the
// first rollback would undo the change that got the copy past the first failure.
// All attempts of an episode count against one budget, whatever their escalation.
//
// Two failures coincide when their keys are equal and the second comes before
// the copy has outlived the first one's failure point by the grace time.
//
// # Duties of the engine
//
// The engine carries out actions in the order given. It passes events of one
// generation at a time: those of the running copy, or, from Restore until
// Released, of the sandbox that failed, which stays stopped until then so that
// it can still be refused. Released comes before any event of the copy. A copy
// that dies before Released is RestoreFailed.
//
// The package must not know processes, paths, clocks or gVisor. Everything in
// State is plain data and survives JSON.
package recovery

import (
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/config"
	"runsc-recover/sentry/failure"
)

// Phase is where the machine stands.
type Phase int

// The phases.
const (
	// Running: no episode is open.
	Running Phase = iota
	// Restoring: an episode is open, the copy is being made, loaded and released.
	Restoring
	// Probation: the copy runs, and has not yet outlived the failure.
	Probation
	// Exhausted: recovery gave up. The program was refused and is expected to
	// end, or is being started afresh. A program that lives on, because all it
	// did was report, is not protected until it says RECOVER_RESOLVED or, when
	// the episode rate was spent, until there is room for an episode again.
	// (A program refused because nothing was there to go back to is Running.)
	Exhausted
	// Ended: the container is over. No event changes it.
	Ended

	phases = int(Ended) + 1
)

// String returns the word that `state` shows.
func (p Phase) String() string {
	switch p {
	case Running:
		return "running"
	case Restoring:
		return "restoring"
	case Probation:
		return "probation"
	case Exhausted:
		return "exhausted"
	case Ended:
		return "ended"
	}
	return "unknown"
}

// Outcome is how an attempt or an episode ended, in the record's words.
type Outcome string

// The outcomes. An episode is open, recovered or exhausted; an attempt any but
// exhausted.
const (
	OutcomeOpen       Outcome = "open" // the container ended before it was known
	OutcomeRecovered  Outcome = "recovered"
	OutcomeExhausted  Outcome = "exhausted"
	OutcomeCoinciding Outcome = "coinciding"
	OutcomeDifferent  Outcome = "different"
	OutcomeFailed     Outcome = "failed" // the copy could not be made
)

// Failure is a failure as the machine sees it.
type Failure struct {
	Kind  failure.Kind `json:"kind"`
	Key   uint64       `json:"key"`
	Code  int32        `json:"code"`
	Signo int32        `json:"signo"`
	// RunTime is the failure point.
	RunTime time.Duration `json:"run_time_ns"`
}

// Point is a checkpoint as the machine sees it.
type Point struct {
	Seq     checkpoint.Seq `json:"seq"`
	RunTime time.Duration  `json:"run_time_ns"`
	// Asked is as in Candidate.
	Asked bool `json:"asked,omitempty"`
	// Unusable says why the checkpoint can't be restored; empty if it can.
	Unusable string `json:"unusable,omitempty"`
}

// Escalation is the escalation for one failure identity.
type Escalation struct {
	Key uint64 `json:"key"`
	// Candidates is the lineage as it was when the escalation began, oldest first.
	Candidates []Point `json:"candidates"`
	Tries      int     `json:"tries"` // attempts made
	Level      int     `json:"level"` // of the last attempt, 1 = mildest
	// FailurePoint is the latest of the coinciding failures' points.
	FailurePoint time.Duration `json:"failure_point_ns"`
}

// Attempt is the attempt under way.
type Attempt struct {
	Number int            `json:"number"` // within the episode, from 1
	Level  int            `json:"level"`
	Seq    checkpoint.Seq `json:"seq"`
	// RunTime is the checkpoint's.
	RunTime time.Duration `json:"run_time_ns"`
}

// Episode is the open episode.
type Episode struct {
	Number int `json:"number"`
	// First is the failure that began the episode, and Latest the failure that the
	// attempt under way is to avoid.
	First  Failure `json:"first"`
	Latest Failure `json:"latest"`
	// Gone is set when the sandbox that failed last no longer exists, so that
	// it can't be refused.
	Gone        bool         `json:"gone"`
	Escalations []Escalation `json:"escalations"`
	Attempt     Attempt      `json:"attempt"`
	// Spent counts attempts against the budget.
	Spent int `json:"spent"`
}

// State is all that the machine remembers. The zero State is a container that
// has just begun to run. Step never changes a State that it was given.
type State struct {
	Phase Phase `json:"phase"`
	// Lineage is the running copy's, oldest first.
	Lineage []Point `json:"lineage"`
	// Orphaned are checkpoints that still exist and are not on the lineage.
	Orphaned []checkpoint.Seq `json:"orphaned"`
	// Episode is the open episode: in Restoring and Probation alone.
	Episode *Episode `json:"episode,omitempty"`
	// Episodes counts the episodes so far.
	Episodes int `json:"episodes"`
	// Recent are the beginnings of the episodes of the last hour, and Restarts
	// the times of its fresh starts; each bounded by the configured rate.
	Recent   []time.Time `json:"recent"`
	Restarts []time.Time `json:"restarts"`
	// RateSpent is set in Exhausted when the episode rate is why. Only the
	// passing of time ends that, so that a program can't fill the records.
	RateSpent bool `json:"rate_spent"`
	// Restarting is set in Exhausted while the container is started afresh.
	Restarting bool `json:"restarting"`
	// LastStatus is the status that the container would have ended with, had
	// it not been started afresh.
	LastStatus int `json:"last_status"`
}

// Pinned returns the checkpoints that the open episode may still need, and
// that retention must keep. It is empty when there is no episode.
func (s State) Pinned() map[checkpoint.Seq]bool {
	pinned := make(map[checkpoint.Seq]bool)
	if s.Episode == nil {
		return pinned
	}
	for _, l := range s.Episode.Escalations {
		for _, c := range l.Candidates {
			pinned[c.Seq] = true
		}
	}
	return pinned
}

// Head returns the newest checkpoint on the lineage: the Parent of the next one
// to be taken. It is 0 when there is none.
func (s State) Head() checkpoint.Seq {
	if len(s.Lineage) == 0 {
		return 0
	}
	return s.Lineage[len(s.Lineage)-1].Seq
}

// Step answers an event: the state that follows, and the engine's actions in
// their order. It is pure. An event that means nothing in a phase changes nothing
// and asks for nothing.
func Step(cfg config.Config, s State, e Event) (State, []Action) {
	m := machine{cfg: cfg, s: s.clone(), held: held(e)}
	transition(m.s.Phase, e)(&m, e)
	return m.s, m.out
}
