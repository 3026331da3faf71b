// Package standby is the machine that keeps a sandbox ready for the next recovery:
// which kind, when it is renewed, and when it gives way.
//
//	            ┌──────────────── failed, or gone ───────────────┐
//	            ▼                                                │
//	None ──boot──▶ Preparing ──ready──▶ Standing ──renew──▶ Renewing
//	  ▲                                  │    ▲                  │
//	  └──── claimed, or given up ────────┘    └──────ready───────┘
//
// A standby that is being prepared is booting, then, if it is to be hot, loading
// a checkpoint; a hot standby is ready before all of its memory is there.
//
// Decisions are pure functions of their arguments, the time included, and return
// their reasons. The package must not do I/O, start goroutines or read a clock.
package standby

import (
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/config"
)

const (
	// sandboxGuess is the memory that a booted sandbox takes, in bytes, tookGuess
	// the time that a hot standby takes to prepare, and workGuess the processors'
	// time, before a standby was measured.
	sandboxGuess = 48 << 20
	tookGuess    = 200 * time.Millisecond
	workGuess    = 200 * time.Millisecond
	// maxFailures bounds how often in a row a standby that can't be made, or
	// dies, is replaced before the next recovery.
	maxFailures = 5
	// retryDelay is the delay after the first failure; it doubles.
	retryDelay = time.Second
	// stableTime is how long a standby must have lived for its death not to
	// count as another failure in a row, and how long a measured cost counts.
	stableTime = time.Minute
	// checkpointMargin is the room that a checkpoint may need beyond the size of
	// the last one, in bytes.
	checkpointMargin = 16 << 20
)

// Phase is how far a standby has come.
type Phase string

// The phases of a standby.
const (
	Booting Phase = "booting" // its sandbox is being made
	Loading Phase = "loading" // a checkpoint is being restored in it
	Ready   Phase = "ready"   // a recovery can use it
)

// Standby is a sandbox made ready for a recovery, or being made so.
type Standby struct {
	// Generation is its sandbox's.
	Generation int            `json:"generation"`
	Phase      Phase          `json:"phase"`
	Kind       config.Standby `json:"kind"` // hot or warm
	// Seq is the checkpoint that it is restored from, 0 while there is none, and
	// RunTime that checkpoint's, once restored.
	Seq     checkpoint.Seq `json:"seq,omitempty"`
	RunTime time.Duration  `json:"run_time_ns,omitempty"`
	Begun   time.Time      `json:"begun"`
	Since   time.Time      `json:"since,omitzero"` // when it was ready
	// Loaded: all memory of a hot standby is there. Beside: until then there is
	// room for its predecessor.
	Loaded bool `json:"loaded,omitempty"`
	Beside bool `json:"beside,omitempty"`
}

// Fits reports whether a recovery to checkpoint seq can use the standby.
func (s Standby) Fits(seq checkpoint.Seq) bool { return s.Seq == 0 || s.Seq == seq }

// hotAndReady reports whether the standby holds a copy that can run at once.
func (s *Standby) hotAndReady() bool {
	return s != nil && s.Kind == config.StandbyHot && s.Phase == Ready
}

// State is all that the machine remembers. The zero State is a container without
// a standby. Step never changes a State that it was given.
type State struct {
	// Kept is ready for the next recovery, Coming is to take its place.
	Kept   *Standby `json:"kept,omitempty"`
	Coming *Standby `json:"coming,omitempty"`
	Reason string   `json:"reason,omitempty"` // for the standby's kind, or for having none
	// NotHot says why a hot standby can't be had until the next recovery.
	NotHot string `json:"not_hot,omitempty"`
	// Warm and Hot are the memory of the last standby of each kind, in bytes, 0
	// while none was measured.
	Warm uint64 `json:"warm,omitempty"`
	Hot  uint64 `json:"hot,omitempty"`
	// Took and Work are the time, and the processors' time, that preparing the
	// last hot standby took; Renewed is when it was ready.
	Took    time.Duration `json:"took_ns,omitempty"`
	Work    time.Duration `json:"work_ns,omitempty"`
	Renewed time.Time     `json:"renewed,omitzero"`
	// Weighing: the container's memory use is being read.
	Weighing bool `json:"weighing,omitempty"`
	Failures int  `json:"failures,omitempty"` // in a row
	// Waiting: for the timer, after a failure.
	Waiting bool `json:"waiting,omitempty"`
}

// Input holds the facts of the moment of an event, beside the machine's own state.
type Input struct {
	Config config.Config
	Now    time.Time
	// Wanted is set while a recovery could use a standby: the program runs, its
	// network is known, and there is a checkpoint.
	Wanted bool
	// Head is the newest checkpoint on the lineage, 0 for none, and HeadRunTime
	// its run time.
	Head        checkpoint.Seq
	HeadRunTime time.Duration
	// Newest is the newest checkpoint kept, and Recent the costs of the last ones.
	Newest checkpoint.Manifest
	Recent []checkpoint.Cost
	// Generation is the next sandbox's, if one is booted.
	Generation int
}

// Step answers an event: the state that follows, and the actions in their order.
// It is pure.
func Step(in Input, s State, e Event) (State, []Action) {
	m := machine{in: in, s: s.clone()}
	transition(m.s.stage(), e)(&m, e)
	return m.s, m.out
}

// Holds is the checkpoint that the standby kept waits in, 0 for none.
func (s State) Holds() checkpoint.Seq {
	if s.Kept == nil {
		return 0
	}
	return s.Kept.Seq
}

// stage is where the machine stands.
type stage int

const (
	none      stage = iota // no standby, and none is being prepared
	preparing              // the first standby is being prepared
	standing               // a standby is ready
	renewing               // a standby is ready, and the next is being prepared

	stages = int(renewing) + 1
)

// String returns the stage's name.
func (s stage) String() string {
	return [stages]string{"none", "preparing", "standing", "renewing"}[s]
}

func (s State) stage() stage {
	switch {
	case s.Kept == nil && s.Coming == nil:
		return none
	case s.Kept == nil:
		return preparing
	case s.Coming == nil:
		return standing
	}
	return renewing
}

// machine is one step under way: a State of its own to change, and the actions
// so far.
type machine struct {
	in  Input
	s   State
	out []Action
}

func (m *machine) do(a ...Action) { m.out = append(m.out, a...) }

// clone returns a State that shares nothing with s.
func (s State) clone() State {
	for _, p := range []**Standby{&s.Kept, &s.Coming} {
		if *p != nil {
			c := **p
			*p = &c
		}
	}
	return s
}
