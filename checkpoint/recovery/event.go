package recovery

import (
	"time"

	"runsc-recover/checkpoint"
)

// Event is a fact that the machine is told. The concrete types are those of this
// file, passed by value.
type Event interface{ kind() eventKind }

type eventKind int

const (
	kindFailed eventKind = iota
	kindSandboxDied
	kindReady
	kindReleased
	kindRestoreFailed
	kindResolved
	kindTick
	kindExited
	kindShutdown
	kindCheckpointTaken
	kindCheckpointRemoved
	kindOperatorFail
	kindRestarted
	kindRestartFailed
	kindCopyDamaged

	kinds = int(kindCopyDamaged) + 1
)

// Failed: the program failed. The sandbox is stopped at the failure, cut off
// from the world, and waits for Refuse.
type Failed struct {
	Failure Failure
	Now     time.Time
	// Held is the checkpoint that a standby waits in, 0 for none.
	Held checkpoint.Seq
}

// SandboxDied: the sandbox itself died, without a report. It is a failure of
// kind signal with signal 9, or out of memory when the cgroup said so, that no
// trigger needs to allow. All such deaths of one kind have the same key.
type SandboxDied struct {
	OutOfMemory bool
	RunTime     time.Duration
	Now         time.Time
	Held        checkpoint.Seq // as in Failed
}

// Ready answers Restore: the copy is loaded and held.
type Ready struct{}

// Released answers Release: the copy runs.
type Released struct{}

// RestoreFailed answers Restore or Release: there is no copy.
type RestoreFailed struct {
	Reason string
	// Damaged is set when the checkpoint itself is at fault: damaged, gone, or
	// of another version. The checkpoint is then never tried again and costs no
	// budget.
	Damaged bool
	Now     time.Time
}

// Resolved: the program said RECOVER_RESOLVED.
type Resolved struct{}

// Tick: the timer that SetTimer asked for went off. It may come early.
type Tick struct {
	RunTime time.Duration
}

// Exited: the first process ended, with no failure that was reported.
type Exited struct {
	Status int // 128+n for signal n
}

// Shutdown: the operator ends the container.
type Shutdown struct {
	Status int
}

// CheckpointTaken: a checkpoint of the running copy was published. A checkpoint
// whose sandbox failed or was replaced meanwhile is on no lineage: the engine
// removes it and says nothing.
type CheckpointTaken struct {
	Seq     checkpoint.Seq
	RunTime time.Duration
	Asked   bool // by the program or the operator
}

// CheckpointRemoved: a checkpoint is no longer in the store.
type CheckpointRemoved struct {
	Seq checkpoint.Seq
}

// OperatorFail: the operator asks for a failure.
type OperatorFail struct{}

// Restarted answers RestartFresh: the program runs from its beginning.
type Restarted struct{}

// RestartFailed answers RestartFresh.
type RestartFailed struct {
	Reason string
}

// CopyDamaged: checkpoint Seq, which the running copy was released from before
// all of it was loaded, turned out to be damaged. The copy is gone: it saw
// nothing of the damage, and no checkpoint holds any of its work.
type CopyDamaged struct {
	Seq     checkpoint.Seq
	Reason  string
	RunTime time.Duration
	Now     time.Time
}

// held is the checkpoint that a standby waits in when e happens.
func held(e Event) checkpoint.Seq {
	switch e := e.(type) {
	case Failed:
		return e.Held
	case SandboxDied:
		return e.Held
	}
	return 0
}

func (Failed) kind() eventKind            { return kindFailed }
func (SandboxDied) kind() eventKind       { return kindSandboxDied }
func (Ready) kind() eventKind             { return kindReady }
func (Released) kind() eventKind          { return kindReleased }
func (RestoreFailed) kind() eventKind     { return kindRestoreFailed }
func (Resolved) kind() eventKind          { return kindResolved }
func (Tick) kind() eventKind              { return kindTick }
func (Exited) kind() eventKind            { return kindExited }
func (Shutdown) kind() eventKind          { return kindShutdown }
func (CheckpointTaken) kind() eventKind   { return kindCheckpointTaken }
func (CheckpointRemoved) kind() eventKind { return kindCheckpointRemoved }
func (OperatorFail) kind() eventKind      { return kindOperatorFail }
func (Restarted) kind() eventKind         { return kindRestarted }
func (RestartFailed) kind() eventKind     { return kindRestartFailed }
func (CopyDamaged) kind() eventKind       { return kindCopyDamaged }
