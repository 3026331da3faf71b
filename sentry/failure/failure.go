// Package failure is the vocabulary of failures on both sides of the sandbox's
// wall: kinds, keys, the error state of a program that failed, and their bounds.
//
// It must not know gVisor, checkpoints or how a failure is detected. No locks and
// no goroutines.
package failure

import (
	"errors"
	"fmt"
	"time"
)

// Limits of the guest contract (abi.md), checked on both sides of the sandbox's
// wall.
const (
	MaxMessage = 4096  // bytes of a failure's message
	MaxData    = 65536 // bytes of a failure's data
	// maxProgram bounds the name of a program, in bytes; Linux cuts it at 15.
	maxProgram = 64
	maxSignal  = 64
)

// ErrInvalid: an error state breaks the contract's bounds.
var ErrInvalid = errors.New("failure is invalid")

// Kind says how a failure came about; the numbers are abi.md's.
type Kind uint32

// The kinds.
const (
	Reported    Kind = 1
	Signal      Kind = 2
	Exit        Kind = 3
	Hang        Kind = 4
	OutOfMemory Kind = 5
	Probe       Kind = 6
	Operator    Kind = 7
)

// String returns abi.md's word for the kind.
func (k Kind) String() string {
	switch k {
	case Reported:
		return "reported"
	case Signal:
		return "signal"
	case Exit:
		return "exit"
	case Hang:
		return "hang"
	case OutOfMemory:
		return "out of memory"
	case Probe:
		return "probe"
	case Operator:
		return "operator"
	}
	return "unknown"
}

// State is the error state of a program that failed.
type State struct {
	Kind      Kind   `json:"kind"`
	Code      int32  `json:"code"`
	Signo     int32  `json:"signo"`
	PID       int32  `json:"pid"`
	TID       int32  `json:"tid"`
	FaultAddr uint64 `json:"fault_addr"`
	FaultIP   uint64 `json:"fault_ip"`
	// Key is never 0 in a message: the agent derives it when the program
	// gave none.
	Key     uint64    `json:"key"`
	Time    time.Time `json:"time"`
	Message string    `json:"message,omitempty"` // valid UTF-8, at most MaxMessage bytes
	Data    []byte    `json:"data,omitempty"`    // at most MaxData bytes
	// Program is the name of the process that failed.
	Program string `json:"program"`
}

// Info describes, to a copy, the failure that it was restored for.
type Info struct {
	Failure        State         `json:"failure"`
	Level          uint32        `json:"level"`
	Attempt        uint32        `json:"attempt"`
	CheckpointSeq  uint64        `json:"checkpoint_seq"`
	CheckpointTime time.Time     `json:"checkpoint_time"`
	FailureAfter   time.Duration `json:"failure_after_ns"`
}

// Validate checks an error state that comes from a sandbox. Errors: ErrInvalid.
func (f *State) Validate() error {
	switch {
	case f.Kind < Reported || f.Kind > Operator:
		return fmt.Errorf("failure of kind %d: %w", f.Kind, ErrInvalid)
	case f.Key == 0:
		return fmt.Errorf("failure without a key: %w", ErrInvalid)
	case len(f.Message) > MaxMessage, len(f.Data) > MaxData, len(f.Program) > maxProgram:
		return fmt.Errorf("failure with %d bytes of message, %d of data, %d of name: %w",
			len(f.Message), len(f.Data), len(f.Program), ErrInvalid)
	case f.Signo < 0 || f.Signo > maxSignal:
		return fmt.Errorf("failure with signal %d: %w", f.Signo, ErrInvalid)
	}
	return nil
}
