package recovery

import (
	"bytes"
	"fmt"
	"runtime"
	"syscall"
	"time"
	"unicode/utf8"
	"unsafe"
)

// Kind says how a failure came about.
type Kind uint32

// The kinds.
const (
	Reported    Kind = 1 // Fail
	Signalled   Kind = 2 // a fatal signal
	Exited      Kind = 3 // the first process ended with an exit status
	Hung        Kind = 4 // no heartbeat in time
	OutOfMemory Kind = 5
	Probed      Kind = 6 // a probe from outside failed
	Operator    Kind = 7 // caused on request
)

// Failure is a program's report. It is all that reaches the copy, whose memory
// goes back to the checkpoint: put the handler's needs into Data.
type Failure struct {
	Code    int32  // the program's own error number
	Message string // UTF-8; cut at MaxMessage bytes
	Data    []byte // at most MaxData bytes
	Key     uint64 // the failure's identity; 0: derived from Code and Message
}

// Info tells of the failure that this copy was restored for.
type Info struct {
	Level   uint32 // recovery level asked for, 1 = mildest
	Attempt uint32 // 1 for the first copy of this episode
	Kind    Kind
	Code    int32          // reported code, or exit status
	Signal  syscall.Signal // fatal signal, or 0
	PID     int            // of the process that failed
	TID     int

	FaultAddr uint64
	FaultIP   uint64
	Key       uint64 // the failure's identity

	CheckpointSeq  uint64
	CheckpointTime time.Time
	FailureTime    time.Time
	// FailureAfter is the run time from the checkpoint to the failure: how far
	// ahead the failure lies.
	FailureAfter time.Duration

	Message string // its first 224 bytes
	Data    []byte
}

// fail reports f. It returns only when the program isn't rolled back.
func (c caller) fail(f Failure) error {
	if len(f.Data) > MaxData {
		return ErrDataTooLong
	}
	message := []byte(cut(f.Message))
	arg := failureArg{code: f.Code, key: f.Key, messageLen: uint64(len(message)), dataLen: uint64(len(f.Data))}
	arg.size = uint32(unsafe.Sizeof(arg))

	// The structure holds the addresses as plain numbers, which the collector
	// doesn't see.
	var pins runtime.Pinner
	defer pins.Unpin()
	arg.message = pin(&pins, message)
	arg.data = pin(&pins, f.Data)
	_, errno := c(opFail, unsafe.Pointer(&arg), unsafe.Sizeof(arg))
	if errno == 0 {
		return ErrNotRecoverable
	}
	return asError("report a failure", errno)
}

// info asks for the failure and its data.
func (c caller) info() (Info, error) {
	var arg infoArg
	arg.size = uint32(unsafe.Sizeof(arg))
	if _, errno := c(opInfo, unsafe.Pointer(&arg), unsafe.Sizeof(arg)); errno != 0 {
		return Info{}, asError("ask for the failure", errno)
	}
	data, err := c.data(min(int(arg.dataLen), MaxData))
	if err != nil {
		return Info{}, err
	}
	message := arg.message[:min(int(arg.messageLen), len(arg.message))]
	return Info{
		Level:          arg.level,
		Attempt:        arg.attempt,
		Kind:           Kind(arg.kind),
		Code:           arg.code,
		Signal:         syscall.Signal(arg.signo),
		PID:            int(arg.pid),
		TID:            int(arg.tid),
		FaultAddr:      arg.faultAddr,
		FaultIP:        arg.faultIP,
		Key:            arg.key,
		CheckpointSeq:  arg.checkpointSeq,
		CheckpointTime: time.Unix(0, int64(arg.checkpointTimeNS)),
		FailureTime:    time.Unix(0, int64(arg.failureTimeNS)),
		FailureAfter:   time.Duration(arg.failureAfterNS),
		Message:        string(bytes.ToValidUTF8(message, nil)),
		Data:           data,
	}, nil
}

func (c caller) data(n int) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	data := make([]byte, n)
	var pins runtime.Pinner
	defer pins.Unpin()
	arg := bufferArg{addr: pin(&pins, data), len: uint64(n)}
	arg.size = uint32(unsafe.Sizeof(arg))
	got, errno := c(opData, unsafe.Pointer(&arg), unsafe.Sizeof(arg))
	if errno != 0 {
		return nil, asError("ask for the failure's data", errno)
	}
	return data[:min(int(got), n)], nil
}

// pin keeps b where it is and returns its address.
func pin(pins *runtime.Pinner, b []byte) uint64 {
	if len(b) == 0 {
		return 0
	}
	pins.Pin(unsafe.SliceData(b))
	return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b))))
}

// cut shortens a message to the limit, between two characters.
func cut(message string) string {
	if len(message) <= MaxMessage {
		return message
	}
	n := MaxMessage
	for n > 0 && !utf8.RuneStart(message[n]) {
		n--
	}
	return message[:n]
}

func asError(doing string, errno syscall.Errno) error {
	switch errno {
	case syscall.ENOSYS:
		return ErrNotProtected
	case syscall.ENOTRECOVERABLE:
		return ErrNotRecoverable
	case syscall.ENODATA:
		return ErrNoFailure
	}
	return fmt.Errorf("%s: %w", doing, errno)
}
