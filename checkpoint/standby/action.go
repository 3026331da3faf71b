package standby

import (
	"time"

	"runsc-recover/checkpoint"
)

// Action is an order to the engine. The concrete types are those below, passed by
// value.
type Action interface{ action() }

type (
	// Weigh reads the container's memory use and that of the standby kept, 0 for
	// none. It is answered by Weighed.
	Weigh struct{ Generation int }
	// Boot makes a sandbox. It is answered by Booted.
	Boot struct {
		Generation int
		Fenced     bool
	}
	// Restore loads a checkpoint in the sandbox, which then holds it. It is
	// answered by Restored.
	Restore struct {
		Generation int
		Seq        checkpoint.Seq
	}
	// AwaitPages waits until all memory of a held copy is there. It is answered
	// by PagesLoaded, or by nothing when the sandbox is gone.
	AwaitPages struct{ Generation int }
	// Destroy destroys a sandbox as soon as it is made; Later: once a copy that
	// is about to run has had the processors for itself.
	Destroy struct {
		Generation int
		Later      bool
	}
	// SetTimer asks for Retry after that much time, in place of an earlier
	// SetTimer's.
	SetTimer struct{ After time.Duration }
	// CancelTimer takes back SetTimer.
	CancelTimer struct{}
	// RemoveDamaged removes a checkpoint that can't be restored, so that the next
	// one doesn't refer to its pages.
	RemoveDamaged struct {
		Seq checkpoint.Seq
		Err error
	}
	// Claimed answers Claim: the recovery has the standby from here on.
	Claimed struct{ Standby Standby }
	// GivenUp tells the operator that there is no standby any more, and why.
	GivenUp struct{ Reason string }
	// Warn tells the operator of a standby that can't be had.
	Warn struct {
		Text string
		Err  error
	}
)

func (Weigh) action()         {}
func (Boot) action()          {}
func (Restore) action()       {}
func (AwaitPages) action()    {}
func (Destroy) action()       {}
func (SetTimer) action()      {}
func (CancelTimer) action()   {}
func (RemoveDamaged) action() {}
func (Claimed) action()       {}
func (GivenUp) action()       {}
func (Warn) action()          {}
