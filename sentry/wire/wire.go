// Package wire defines the messages between the supervisor and the agent in
// the sandbox: one JSON object a packet on a SOCK_SEQPACKET socket, each at
// most MaxMessage bytes, decoded strictly.
//
//	supervisor                          agent
//	    | ----- Request (with files) -----> |
//	    | <------------- Reply ------------ |  same ID; one for each Request
//	    | <------------ Failure ----------- |  the sandbox is stopped until Refuse
//	    | <------- CheckpointRequest ------ |
//	    | <------------ Resolved ---------- |
//
// It must not know gVisor or what either end does with a message.
package wire

import (
	"time"
)

// Limits of the guest contract (abi.md), checked again on this side of the
// sandbox's wall.
const (
	MaxFailureMessage = 4096
	MaxFailureData    = 65536
	// MaxMessage bounds a packet: data in base64, message with every byte
	// escaped, and the rest.
	MaxMessage = 160 << 10
)

// Kind says how a failure came about; the numbers are abi.md's.
type Kind uint32

// The kinds.
const (
	KindReported    Kind = 1
	KindSignal      Kind = 2
	KindExit        Kind = 3
	KindHang        Kind = 4
	KindOutOfMemory Kind = 5
	KindProbe       Kind = 6
	KindOperator    Kind = 7
)

// String returns abi.md's word for the kind.
func (k Kind) String() string {
	switch k {
	case KindReported:
		return "reported"
	case KindSignal:
		return "signal"
	case KindExit:
		return "exit"
	case KindHang:
		return "hang"
	case KindOutOfMemory:
		return "out of memory"
	case KindProbe:
		return "probe"
	case KindOperator:
		return "operator"
	}
	return "unknown"
}

// Failure is the error state of a program that failed.
type Failure struct {
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
	Message string    `json:"message,omitempty"` // valid UTF-8, at most MaxFailureMessage bytes
	Data    []byte    `json:"data,omitempty"`    // at most MaxFailureData bytes
	// Program is the name of the process that failed.
	Program string `json:"program"`
}

// FailureInfo is what a copy is told of the failure that it was restored for.
type FailureInfo struct {
	Failure        Failure       `json:"failure"`
	Level          uint32        `json:"level"`
	Attempt        uint32        `json:"attempt"`
	CheckpointSeq  uint64        `json:"checkpoint_seq"`
	CheckpointTime time.Time     `json:"checkpoint_time"`
	FailureAfter   time.Duration `json:"failure_after_ns"`
}

// CheckpointRequest is a program waiting in RECOVER_CHECKPOINT.
type CheckpointRequest struct {
	TID int32 `json:"tid"`
}
