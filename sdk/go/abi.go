package recovery

import (
	"syscall"
	"unsafe"
)

// The system call and its operations.
const (
	sysRecover = 1900
	abiVersion = 1

	opVersion    = 0
	opAttach     = 1
	opFail       = 2
	opInfo       = 3
	opData       = 4
	opCheckpoint = 5
	opResolved   = 6
	opHeartbeat  = 7
)

// Limits of the system call.
const (
	MaxMessage = 4096  // bytes of a failure's message; a longer one is cut
	MaxData    = 65536 // bytes of a failure's data; more is refused
)

type attachArg struct {
	size, signo, flags, maxLevel uint32
}

type failureArg struct {
	size                uint32
	code                int32
	key                 uint64
	message, messageLen uint64
	data, dataLen       uint64
}

type infoArg struct {
	size, level, attempt, kind    uint32
	code, signo, pid, tid         int32
	faultAddr, faultIP            uint64
	key, checkpointSeq            uint64
	checkpointTimeNS              uint64
	failureTimeNS, failureAfterNS uint64
	messageLen, dataLen           uint32
	message                       [224]byte
}

type bufferArg struct {
	size, flags       uint32
	offset, addr, len uint64
}

type heartbeatArg struct {
	size, flags uint32
	timeoutNS   uint64
}

// caller makes the system call. Tests put a kernel of their own here.
type caller func(op uintptr, arg unsafe.Pointer, size uintptr) (uintptr, syscall.Errno)

func systemCall(op uintptr, arg unsafe.Pointer, size uintptr) (uintptr, syscall.Errno) {
	r, _, errno := syscall.Syscall(sysRecover, op, uintptr(arg), size)
	return r, errno
}
