package schedule

import (
	"time"

	"runsc-recover/checkpoint"
)

// Action is an order to the engine. The concrete types are those of this file,
// passed by value.
type Action interface{ action() }

// Purpose says for which end checkpoints are removed or the store is compacted,
// so that the answer finds its way.
type Purpose string

// The purposes.
const (
	ForRoom      Purpose = "room"      // in the memory limit, for a checkpoint
	ForLimit     Purpose = "limit"     // of the store
	ForRetention Purpose = "retention" // more are kept than configured
	ForOvertaken Purpose = "overtaken" // the program failed before it counted
	ForPressure  Purpose = "pressure"  // the program needs the memory
)

// SetTimer asks for Due after that much time, in place of an earlier SetTimer's.
type SetTimer struct {
	After  time.Duration
	Reason string
}

// CancelTimer takes back SetTimer.
type CancelTimer struct{}

// ReadMemory asks for the container's memory use. It is answered by MemoryRead.
type ReadMemory struct{}

// ReadUsage asks for the store's size. It is answered by UsageRead.
type ReadUsage struct{}

// Forget tells the recovery machine that a checkpoint can't be gone back to any
// more. It comes before the checkpoint is removed.
type Forget struct{ Seq checkpoint.Seq }

// Remove takes checkpoints out of the store. It is answered by Removed.
type Remove struct {
	For     Purpose
	Seqs    []checkpoint.Seq
	Reasons []string
}

// Compact has the store give back the room that no checkpoint needs. It is
// answered by Compacted.
type Compact struct {
	For     Purpose
	Reasons []string
}

// Take has the sandbox write a checkpoint, which is then published. It is
// answered by Taken.
type Take struct {
	Seq        checkpoint.Seq
	Parent     checkpoint.Seq
	Trigger    checkpoint.Trigger
	Generation int
}

// Abort ends the checkpoint that is being taken at once. Taken still comes.
type Abort struct{}

// Abandon lets the sandbox finish the checkpoint that is being taken, but keeps
// it from being published. Taken still comes, with Err.
type Abandon struct{ Err error }

// Count makes a published checkpoint part of the lineage.
type Count struct{ Manifest checkpoint.Manifest }

// AnswerProgram lets threads of the program return from RECOVER_CHECKPOINT.
type AnswerProgram struct {
	Generation int
	Waiters    []Waiter
	Err        error // nil once the checkpoint was published
}

// AnswerOperator answers commands that wait for a checkpoint.
type AnswerOperator struct {
	Waiters  []Waiter
	Manifest checkpoint.Manifest
	Err      error
}

// DropStandby gives the standby's memory back.
type DropStandby struct{ Reason string }

// Watch asks for a look at the container's memory after that much time. It is
// answered by MemorySeen.
type Watch struct{ After time.Duration }

// Warn tells the operator of a shortage that lasts, or of a checkpoint that failed.
type Warn struct {
	Text string
	Err  error // nil for a shortage
}

func (SetTimer) action()       {}
func (CancelTimer) action()    {}
func (ReadMemory) action()     {}
func (ReadUsage) action()      {}
func (Forget) action()         {}
func (Remove) action()         {}
func (Compact) action()        {}
func (Take) action()           {}
func (Abort) action()          {}
func (Abandon) action()        {}
func (Count) action()          {}
func (AnswerProgram) action()  {}
func (AnswerOperator) action() {}
func (DropStandby) action()    {}
func (Watch) action()          {}
func (Warn) action()           {}
