package recovery

import (
	"time"

	"runsc-recover/checkpoint"
)

// Action is an order to the engine. The concrete types are those of this file,
// passed by value. Reasons are for people, one line each.
type Action interface{ action() }

// BeginEpisode opens the record of an episode.
type BeginEpisode struct {
	Episode int
	Failure Failure
}

// BeginAttempt opens the record of an attempt.
type BeginAttempt struct {
	Attempt int            `json:"attempt"`
	Level   int            `json:"level"`
	Seq     checkpoint.Seq `json:"seq"`
	Reasons []string       `json:"reasons"`
}

// EndAttempt closes the record of the attempt under way.
type EndAttempt struct {
	Outcome Outcome
	Reasons []string
}

// EndEpisode closes the record of the open episode.
type EndEpisode struct {
	Outcome Outcome
	Reasons []string
}

// Restore makes a copy from a checkpoint and holds it. It is answered by Ready
// or RestoreFailed.
type Restore struct {
	Seq checkpoint.Seq
}

// Release tells the copy of the latest failure, lets it run and destroys the
// sandbox that failed. It is answered by Released or RestoreFailed; the
// sandbox that failed is destroyed only once the copy runs.
type Release struct {
	Attempt      int
	Level        int
	Seq          checkpoint.Seq
	FailureAfter time.Duration
}

// Refuse lets the failing sandbox go on to fail as it would have without us.
type Refuse struct {
	Reasons []string
}

// RestartFresh destroys the sandbox and starts the container from its bundle.
// It is answered by Restarted or RestartFailed.
type RestartFresh struct {
	Reasons []string
}

// Exit destroys the remains of the container and ends it with Status.
type Exit struct {
	Status  int
	Reasons []string
}

// SetTimer asks for a Tick after that much run time, in place of an earlier
// SetTimer's.
type SetTimer struct {
	After time.Duration
}

// CancelTimer takes back SetTimer.
type CancelTimer struct{}

// Remove takes checkpoints out of the store. It isn't answered: the machine
// has forgotten them, and CheckpointRemoved for them does nothing.
type Remove struct {
	Seqs    []checkpoint.Seq
	Reasons []string
}

// Fail makes the sandbox stop as at a failure, for the operator who asked. It
// is followed by Failed.
type Fail struct{}

// Reject tells the operator who asked for a failure why there is none.
type Reject struct {
	Reasons []string
}

func (BeginEpisode) action() {}
func (BeginAttempt) action() {}
func (EndAttempt) action()   {}
func (EndEpisode) action()   {}
func (Restore) action()      {}
func (Release) action()      {}
func (Refuse) action()       {}
func (RestartFresh) action() {}
func (Exit) action()         {}
func (SetTimer) action()     {}
func (CancelTimer) action()  {}
func (Remove) action()       {}
func (Fail) action()         {}
func (Reject) action()       {}
