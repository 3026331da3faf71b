// Package schedule is the machine that decides when a checkpoint is taken, which
// are kept, and which go when the store's limit or the container's memory is
// short: every decision on which checkpoint goes.
//
//	        ┌─────────────── due, or asked for ───────────────┐
//	Idle ◀──┴──▶ Waiting                                       ▼
//	  ▲            ▲                          FindingRoom ──▶ Shrinking ──▶ Taking
//	  │            │                               │ no room                  │ published
//	  └────────────┴──── the next one ◀────────────┴──── Trimming ◀── Retaining
//
// FindingRoom makes room in the container's memory limit, Shrinking and Trimming
// keep the store within its own, before and after, and Retaining removes the
// checkpoints that needn't be kept. Each goes on until there is no more to do, and
// is passed at once where no limit is set. Giving memory back under pressure
// (pressure.go) goes on beside all of them.
//
// A checkpoint that is overtaken, because its program failed, ended or was
// replaced meanwhile, doesn't count: it is removed, and the commands that wait
// for it wait for the next one.
//
// Decisions are pure functions of their arguments, the time included, and return
// their reasons. The package must not do I/O, start goroutines or read a clock.
package schedule

import (
	"maps"
	"slices"
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/config"
)

const (
	// firstDelay is how soon after its start a program is checkpointed, so that
	// an early failure has a checkpoint to go back to: after the time in which a
	// program registers its handlers, and short of the interval.
	firstDelay = 100 * time.Millisecond
	// maxWaiting bounds the program's threads that wait in RECOVER_CHECKPOINT;
	// more are turned away.
	maxWaiting = 1024
	// maxRecent is how many costs are kept.
	maxRecent = 8
)

// Phase is where the schedule stands.
type Phase int

// The phases.
const (
	Idle        Phase = iota // no checkpoint is due
	Waiting                  // the timer for the next one runs
	FindingRoom              // room is made in the memory limit for a checkpoint
	Shrinking                // the store is kept within its limit, for the same
	Taking                   // the sandbox writes the checkpoint, the store publishes it
	Retaining                // checkpoints that needn't be kept are removed
	Trimming                 // the store is kept within its limit, after a checkpoint

	phases = int(Trimming) + 1
)

// String returns the phase's name.
func (p Phase) String() string {
	names := [phases]string{"idle", "waiting", "finding room", "shrinking", "taking", "retaining", "trimming"}
	if p < 0 || int(p) >= phases {
		return "unknown"
	}
	return names[p]
}

// Waiter waits for a checkpoint: a thread of the program by its TID, or a command
// by its request's number.
type Waiter uint64

// Attempt is the checkpoint that is being taken.
type Attempt struct {
	Seq        checkpoint.Seq     `json:"seq"`
	Trigger    checkpoint.Trigger `json:"trigger"`
	Generation int                `json:"generation"`
	// Program and Operator wait for this checkpoint.
	Program  []Waiter `json:"program,omitempty"`
	Operator []Waiter `json:"operator,omitempty"`
	// NoRoom is set once the program needs the memory that it would take.
	NoRoom bool `json:"no_room,omitempty"`
}

// State is all that the schedule remembers. The zero State is that of a container
// without checkpoints. Step never changes a State that it was given.
type State struct {
	Phase Phase `json:"phase"`
	// Kept are the checkpoints in the store, by ascending number.
	Kept []checkpoint.Manifest `json:"kept"`
	// Last is the highest number ever used.
	Last checkpoint.Seq `json:"last"`
	// Stops are when the program had stopped for those that were taken since the
	// container began.
	Stops map[checkpoint.Seq]time.Time `json:"stops,omitempty"`
	// Recent are the costs of the last checkpoints, the newest last, and PausedAt
	// is when the last pause ended; zero for a program that runs anew.
	Recent   []checkpoint.Cost `json:"recent,omitempty"`
	PausedAt time.Time         `json:"paused_at,omitzero"`
	Failures int               `json:"failures"` // in a row
	// Problem says why the last checkpoint could not be taken; empty if it was.
	Problem string `json:"problem,omitempty"`
	// Program and Operator wait for the next checkpoint.
	Program  []Waiter `json:"program,omitempty"`
	Operator []Waiter `json:"operator,omitempty"`
	// Attempt is the checkpoint that is being taken, from FindingRoom to Taking.
	Attempt *Attempt `json:"attempt,omitempty"`
	// First is set when the program began anew beside an attempt of another run.
	First bool `json:"first,omitempty"`
	// Use is the memory use that FindingRoom found last.
	Use Memory `json:"use"`
	// Compacted is set once the store was compacted in this phase.
	Compacted bool `json:"compacted"`
	// UsedBefore is the memory in use before the last checkpoint was taken.
	UsedBefore uint64 `json:"used_before"`
	// Tight is set once memory was too short to keep the staging memory that
	// makes pauses short.
	Tight bool `json:"tight"`
	// Look is the last look at the container's memory.
	Look look `json:"look"`
}

// Input holds the facts of the moment of an event, beside the schedule's own
// state.
type Input struct {
	Config config.Config
	Now    time.Time
	// Generation is the running sandbox's, Runs whether its program can be
	// checkpointed (it was started and hasn't failed), Paused whether the
	// operator has paused it.
	Generation   int
	Runs, Paused bool
	// Parent is the newest checkpoint on the lineage, 0 for none.
	Parent checkpoint.Seq
	// Pinned are the checkpoints that an open episode or a standby needs.
	Pinned map[checkpoint.Seq]bool
	// Recovering is set during a recovery, which needs the checkpoint Needed.
	Recovering bool
	Needed     checkpoint.Seq
	// Standby is set while there is a standby, or one is being prepared.
	Standby bool
	// Limited is set where the container's memory can be read.
	Limited bool
}

// Load returns the state of a container whose store holds kept, by ascending
// number, and bad checkpoints beside them.
func Load(kept []checkpoint.Manifest, bad []checkpoint.Seq) State {
	s := State{Kept: kept}
	for _, m := range kept {
		s.Last = max(s.Last, m.Seq)
	}
	for _, seq := range bad {
		s.Last = max(s.Last, seq)
	}
	return s
}

// StoppedAt returns when the program had stopped for a checkpoint that is kept;
// zero for one that was taken before the container began.
func (s State) StoppedAt(seq checkpoint.Seq) time.Time { return s.Stops[seq] }

// Newest returns the newest checkpoint kept, 0 for none.
func (s State) Newest() checkpoint.Seq { return s.newest().Seq }

func (s State) newest() checkpoint.Manifest {
	if len(s.Kept) == 0 {
		return checkpoint.Manifest{}
	}
	return s.Kept[len(s.Kept)-1]
}

// Step answers an event: the state that follows, and the actions in their order.
// It is pure. An event that means nothing in a phase changes nothing.
func Step(in Input, s State, e Event) (State, []Action) {
	m := machine{in: in, s: s.clone()}
	transition(m.s.Phase, e)(&m, e)
	return m.s, m.out
}

// machine is one step under way: a State of its own to change, and the actions
// so far.
type machine struct {
	in  Input
	s   State
	out []Action
}

func (m *machine) do(a ...Action) { m.out = append(m.out, a...) }

// clone returns a State that shares nothing with s that a step changes.
func (s State) clone() State {
	s.Kept = slices.Clone(s.Kept)
	s.Recent = slices.Clone(s.Recent)
	s.Stops = maps.Clone(s.Stops)
	s.Program, s.Operator = slices.Clone(s.Program), slices.Clone(s.Operator)
	if s.Attempt != nil {
		a := *s.Attempt
		s.Attempt = &a
	}
	return s
}
