// Package abi is the guest contract, version 1: the number of the system
// call, its operations, the layouts of their arguments, and the validation of
// all that a program passes.
//
// It must not know the host, files, policy or gVisor: guest memory is an
// interface, and errors are errnos. No locks, no goroutines and no state: its
// functions run on the task that made the call.
package abi

import (
	"encoding/binary"
	"time"

	"golang.org/x/sys/unix"
)

// Sysno is the number of the system call on amd64 and arm64.
const Sysno = 1900

// SyscallName is the name of the system call in gVisor's tables, by which
// seccomp profiles know it.
const SyscallName = "recover"

// Version is the ABI version that OpVersion returns.
const Version = 1

// Op is an operation of the system call.
type Op uint32

// The operations.
const (
	OpVersion    Op = 0
	OpAttach     Op = 1
	OpFail       Op = 2
	OpInfo       Op = 3
	OpData       Op = 4
	OpCheckpoint Op = 5
	OpResolved   Op = 6
	OpHeartbeat  Op = 7
)

// Sizes of the version 1 structures, in bytes.
const (
	SizeAttach    = 16
	SizeFailure   = 48
	SizeInfo      = 320
	SizeBuffer    = 32
	SizeHeartbeat = 16
)

// Limits of a program's arguments.
const (
	MaxMessage = 4096
	MaxData    = 65536
	// MaxStruct bounds the size of any argument structure, so that checking
	// an unknown tail for zeros stays cheap. Larger ones are E2BIG, as
	// Linux's copy_struct_from_user does beyond a page.
	MaxStruct = 4096
	// InfoMessage is how much of the message struct recover_info holds.
	InfoMessage = 224
	maxSignal   = 64
)

// AttachToThread asks for the interrupt on the calling thread.
const AttachToThread = 1 << 0

// Memory is the calling program's memory. Both methods fail with EFAULT when
// any byte of the range can't be reached.
type Memory interface {
	CopyIn(addr uint64, dst []byte) error
	CopyOut(addr uint64, src []byte) error
}

// Attach is struct recover_attach.
type Attach struct {
	Signo    uint32 // 0: the container's default
	ToThread bool
	MaxLevel uint32 // 0: no limit
}

// Failure is struct recover_failure with the message and data it points to.
type Failure struct {
	Code    int32
	Key     uint64 // 0: to be derived
	Message []byte // a copy, at most MaxMessage bytes
	Data    []byte // a copy, at most MaxData bytes
}

// Info is struct recover_info.
type Info struct {
	Level          uint32
	Attempt        uint32
	Kind           uint32
	Code           int32
	Signo          int32
	PID, TID       int32
	FaultAddr      uint64
	FaultIP        uint64
	Key            uint64
	CheckpointSeq  uint64
	CheckpointTime time.Time
	FailureTime    time.Time
	FailureAfter   time.Duration
	Message        []byte
	DataLen        uint32
}

// Buffer is struct recover_buffer.
type Buffer struct {
	Offset uint64
	Addr   uint64
	Len    uint64
}

// Heartbeat is struct recover_heartbeat.
type Heartbeat struct {
	Timeout time.Duration // 0 disarms
}

var order = binary.LittleEndian

// CheckNoArg validates the argument of an operation that takes none.
func CheckNoArg(arg, size uint64) error {
	if arg != 0 || size != 0 {
		return unix.EINVAL
	}
	return nil
}

// copyStruct reads a structure of which this version knows the first known
// bytes. Errors: EINVAL for one too small or whose first member isn't its
// size, E2BIG for one with an unknown tail that isn't zero, EFAULT.
func copyStruct(m Memory, arg, size uint64, known int) ([]byte, error) {
	if size < uint64(known) {
		return nil, unix.EINVAL
	}
	if size > MaxStruct {
		return nil, unix.E2BIG
	}
	b := make([]byte, size)
	if err := m.CopyIn(arg, b); err != nil {
		return nil, unix.EFAULT
	}
	if uint64(order.Uint32(b)) != size {
		return nil, unix.EINVAL
	}
	for _, c := range b[known:] {
		if c != 0 {
			return nil, unix.E2BIG
		}
	}
	return b[:known], nil
}

// CopyAttach reads and validates struct recover_attach.
func CopyAttach(m Memory, arg, size uint64) (Attach, error) {
	b, err := copyStruct(m, arg, size, SizeAttach)
	if err != nil {
		return Attach{}, err
	}
	signo, flags := order.Uint32(b[4:]), order.Uint32(b[8:])
	if flags&^AttachToThread != 0 || !validSignal(signo) {
		return Attach{}, unix.EINVAL
	}
	return Attach{
		Signo:    signo,
		ToThread: flags&AttachToThread != 0,
		MaxLevel: order.Uint32(b[12:]),
	}, nil
}

// validSignal reports whether signo can be a failure interrupt: 0, or a signal
// that a program can catch.
func validSignal(signo uint32) bool {
	return signo <= maxSignal && signo != uint32(unix.SIGKILL) && signo != uint32(unix.SIGSTOP)
}

// CopyFailure reads and validates struct recover_failure and copies the message
// and data that it points to.
func CopyFailure(m Memory, arg, size uint64) (Failure, error) {
	b, err := copyStruct(m, arg, size, SizeFailure)
	if err != nil {
		return Failure{}, err
	}
	f := Failure{Code: int32(order.Uint32(b[4:])), Key: order.Uint64(b[8:])}
	if f.Message, err = copyBytes(m, order.Uint64(b[16:]), order.Uint64(b[24:]), MaxMessage); err != nil {
		return Failure{}, err
	}
	if f.Data, err = copyBytes(m, order.Uint64(b[32:]), order.Uint64(b[40:]), MaxData); err != nil {
		return Failure{}, err
	}
	return f, nil
}

func copyBytes(m Memory, addr, n, limit uint64) ([]byte, error) {
	if n > limit {
		return nil, unix.EINVAL
	}
	if n == 0 {
		return nil, nil
	}
	b := make([]byte, n)
	if err := m.CopyIn(addr, b); err != nil {
		return nil, unix.EFAULT
	}
	return b, nil
}

// CheckInfo validates the argument of OpInfo, of which only the size is read.
func CheckInfo(m Memory, arg, size uint64) error {
	_, err := copyStruct(m, arg, size, SizeInfo)
	return err
}

// PutInfo writes struct recover_info of version 1 to arg. A longer structure's
// tail was zero (CheckInfo) and is left alone.
func PutInfo(m Memory, arg uint64, i Info) error {
	if err := m.CopyOut(arg, i.encode()); err != nil {
		return unix.EFAULT
	}
	return nil
}

func (i Info) encode() []byte {
	b := make([]byte, SizeInfo)
	u32 := func(off int, v uint32) { order.PutUint32(b[off:], v) }
	u64 := func(off int, v uint64) { order.PutUint64(b[off:], v) }
	u32(0, SizeInfo)
	u32(4, i.Level)
	u32(8, i.Attempt)
	u32(12, i.Kind)
	u32(16, uint32(i.Code))
	u32(20, uint32(i.Signo))
	u32(24, uint32(i.PID))
	u32(28, uint32(i.TID))
	u64(32, i.FaultAddr)
	u64(40, i.FaultIP)
	u64(48, i.Key)
	u64(56, i.CheckpointSeq)
	u64(64, uint64(i.CheckpointTime.UnixNano()))
	u64(72, uint64(i.FailureTime.UnixNano()))
	u64(80, uint64(i.FailureAfter))
	u32(88, uint32(len(i.Message)))
	u32(92, i.DataLen)
	copy(b[96:96+InfoMessage], i.Message)
	return b
}

// CopyBuffer reads and validates struct recover_buffer.
func CopyBuffer(m Memory, arg, size uint64) (Buffer, error) {
	b, err := copyStruct(m, arg, size, SizeBuffer)
	if err != nil {
		return Buffer{}, err
	}
	if order.Uint32(b[4:]) != 0 {
		return Buffer{}, unix.EINVAL
	}
	return Buffer{Offset: order.Uint64(b[8:]), Addr: order.Uint64(b[16:]), Len: order.Uint64(b[24:])}, nil
}

// PutData copies the part of data that buf asks for and returns its length.
func PutData(m Memory, buf Buffer, data []byte) (int, error) {
	if buf.Offset >= uint64(len(data)) {
		return 0, nil
	}
	data = data[buf.Offset:]
	data = data[:min(buf.Len, uint64(len(data)))]
	if len(data) == 0 {
		return 0, nil
	}
	if err := m.CopyOut(buf.Addr, data); err != nil {
		return 0, unix.EFAULT
	}
	return len(data), nil
}

// maxTimeout keeps deadlines representable.
const maxTimeout = 100 * 365 * 24 * time.Hour

// CopyHeartbeat reads and validates struct recover_heartbeat. Timeouts beyond
// a hundred years are cut to that.
func CopyHeartbeat(m Memory, arg, size uint64) (Heartbeat, error) {
	b, err := copyStruct(m, arg, size, SizeHeartbeat)
	if err != nil {
		return Heartbeat{}, err
	}
	if order.Uint32(b[4:]) != 0 {
		return Heartbeat{}, unix.EINVAL
	}
	return Heartbeat{Timeout: time.Duration(min(order.Uint64(b[8:]), uint64(maxTimeout)))}, nil
}
