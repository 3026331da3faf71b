package standby

import (
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/schedule"
)

// Event is a fact that the machine is told. The concrete types are those below,
// passed by value.
type Event interface{ kind() eventKind }

type eventKind int

const (
	kindReconcile eventKind = iota
	kindWeighed
	kindBooted
	kindRestored
	kindPagesLoaded
	kindGone
	kindDamaged
	kindClaim
	kindDrop
	kindRetry
	kindRecovered

	kinds = int(kindRecovered) + 1
)

type (
	// Reconcile: facts of Input have changed.
	Reconcile struct{}
	// Weighed answers Weigh: the container's memory use, and the memory, in
	// bytes, that the standby kept takes, 0 for unknown.
	Weighed struct {
		Generation int
		Use        schedule.Memory
		Measured   uint64
		Err        error
	}
	// Booted answers Boot. NotFenced: a held copy can't be kept off the network
	// here.
	Booted struct {
		Generation int
		NotFenced  bool
		Err        error
	}
	// Restored answers Restore. Damaged: the checkpoint is at fault.
	Restored struct {
		Generation int
		RunTime    time.Duration // the checkpoint's
		Damaged    bool
		Err        error
	}
	// PagesLoaded answers AwaitPages, with the processors' time that preparing
	// the standby took.
	PagesLoaded struct {
		Generation int
		Work       time.Duration
	}
	// Gone: a sandbox died before it was of use.
	Gone struct {
		Generation int
		Err        error
	}
	// Damaged: the checkpoint that a held copy is loading is damaged.
	Damaged struct {
		Generation int
		Err        error
	}
	// Claim: a recovery to a checkpoint takes the best standby for it.
	Claim struct{ Seq checkpoint.Seq }
	// Drop: the standby is given up, for the reason.
	Drop struct{ Reason string }
	// Retry: the timer that SetTimer asked for went off.
	Retry struct{}
	// Recovered: a recovery is over.
	Recovered struct{}
)

func (Reconcile) kind() eventKind   { return kindReconcile }
func (Weighed) kind() eventKind     { return kindWeighed }
func (Booted) kind() eventKind      { return kindBooted }
func (Restored) kind() eventKind    { return kindRestored }
func (PagesLoaded) kind() eventKind { return kindPagesLoaded }
func (Gone) kind() eventKind        { return kindGone }
func (Damaged) kind() eventKind     { return kindDamaged }
func (Claim) kind() eventKind       { return kindClaim }
func (Drop) kind() eventKind        { return kindDrop }
func (Retry) kind() eventKind       { return kindRetry }
func (Recovered) kind() eventKind   { return kindRecovered }
