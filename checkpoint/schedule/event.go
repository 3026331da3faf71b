package schedule

import (
	"time"

	"runsc-recover/checkpoint"
)

// Event is a fact that the machine is told. The concrete types are those of this
// file, passed by value.
type Event interface{ kind() eventKind }

type eventKind int

const (
	kindBegan eventKind = iota
	kindResumed
	kindReleased
	kindStopped
	kindDue
	kindProgramAsked
	kindOperatorAsked
	kindMemoryRead
	kindUsageRead
	kindRemoved
	kindCompacted
	kindTaken
	kindForgotten
	kindMemorySeen

	kinds = int(kindMemorySeen) + 1
)

// Began: the program runs from its beginning.
type Began struct{}

// Resumed: the program runs on, after a pause or a failure that was refused.
type Resumed struct{}

// Released: a copy runs from an earlier point.
type Released struct{}

// Stopped: the program failed, or ended. A checkpoint under way is overtaken;
// the program's requests go with the program.
type Stopped struct{}

// Due: the timer that SetTimer asked for went off.
type Due struct{}

// ProgramAsked: a thread of the program waits in RECOVER_CHECKPOINT.
type ProgramAsked struct{ Waiter Waiter }

// OperatorAsked: a command waits for a checkpoint.
type OperatorAsked struct{ Waiter Waiter }

// MemoryRead answers ReadMemory.
type MemoryRead struct {
	Use Memory
	Err error
}

// UsageRead answers ReadUsage.
type UsageRead struct {
	Usage checkpoint.Usage
	Err   error
}

// Removed answers Remove. Failed are the checkpoints that are still there.
type Removed struct {
	For    Purpose
	Seqs   []checkpoint.Seq
	Failed []checkpoint.Seq
}

// Compacted answers Compact.
type Compacted struct {
	For Purpose
	Err error
}

// Taken answers Take: the manifest as published and when the program had stopped,
// by the clock of Input.Now, or why there is none.
type Taken struct {
	Manifest  checkpoint.Manifest
	StoppedAt time.Time
	Err       error
}

// Forgotten: others had checkpoints removed.
type Forgotten struct{ Seqs []checkpoint.Seq }

// MemorySeen answers Watch.
type MemorySeen struct {
	Use Memory
	Err error
	At  time.Time
}

func (Began) kind() eventKind         { return kindBegan }
func (Resumed) kind() eventKind       { return kindResumed }
func (Released) kind() eventKind      { return kindReleased }
func (Stopped) kind() eventKind       { return kindStopped }
func (Due) kind() eventKind           { return kindDue }
func (ProgramAsked) kind() eventKind  { return kindProgramAsked }
func (OperatorAsked) kind() eventKind { return kindOperatorAsked }
func (MemoryRead) kind() eventKind    { return kindMemoryRead }
func (UsageRead) kind() eventKind     { return kindUsageRead }
func (Removed) kind() eventKind       { return kindRemoved }
func (Compacted) kind() eventKind     { return kindCompacted }
func (Taken) kind() eventKind         { return kindTaken }
func (Forgotten) kind() eventKind     { return kindForgotten }
func (MemorySeen) kind() eventKind    { return kindMemorySeen }
