package recovery

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// fakeKernel serves the system call as the sentry would.
type fakeKernel struct {
	mu          sync.Mutex
	attached    attachArg
	attachErr   syscall.Errno
	info        *infoArg // nil: never rolled back
	data        []byte
	checkpoint  uintptr
	interrupted int  // EINTR to be given first
	off         bool // recovery is
	reported    failureArg
	message     []byte
	heartbeat   uint64
}

func (k *fakeKernel) call(op uintptr, arg unsafe.Pointer, _ uintptr) (uintptr, syscall.Errno) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch op {
	case opVersion:
		return abiVersion, 0
	case opAttach:
		k.attached = *(*attachArg)(arg)
		return 0, k.attachErr
	case opFail:
		k.reported = *(*failureArg)(arg)
		k.message = bytes.Clone(guestBytes(&k.reported.message, k.reported.messageLen))
		k.data = bytes.Clone(guestBytes(&k.reported.data, k.reported.dataLen))
		return 0, syscall.ENOTRECOVERABLE
	case opInfo:
		if k.info == nil {
			return 0, syscall.ENODATA
		}
		*(*infoArg)(arg) = *k.info
		return 0, 0
	case opData:
		b := (*bufferArg)(arg)
		return uintptr(copy(guestBytes(&b.addr, b.len), k.data[b.offset:])), 0
	case opCheckpoint:
		if k.interrupted > 0 {
			k.interrupted--
			return 0, syscall.EINTR
		}
		if k.off {
			return 0, syscall.ENOTRECOVERABLE
		}
		return k.checkpoint, 0
	case opHeartbeat:
		k.heartbeat = (*heartbeatArg)(arg).timeoutNS
		return 0, 0
	case opResolved:
		return 0, 0
	}
	return 0, syscall.EINVAL
}

// guestBytes is the memory that a structure's address and length name.
func guestBytes(addr *uint64, n uint64) []byte {
	if n == 0 {
		return nil
	}
	return unsafe.Slice(*(**byte)(unsafe.Pointer(addr)), n)
}

// failed makes the kernel one of a copy whose original failed at that time.
func (k *fakeKernel) failed(at uint64, level uint32, data string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.info = &infoArg{size: 320, level: level, attempt: 1, failureTimeNS: at, dataLen: uint32(len(data))}
	k.info.messageLen = uint32(copy(k.info.message[:], "broken"))
	k.data = []byte(data)
}

func mustAttach(t *testing.T, k *fakeKernel, o Options) *Program {
	t.Helper()
	p, err := attach(o, k.call)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestUnprotectedProgramWorksOn(t *testing.T) {
	p, err := Attach(Options{Handlers: map[uint32]Handler{1: func(Info) { t.Error("handler ran") }}})
	if err != nil {
		t.Fatal(err)
	}
	if p.Protected() {
		t.Fatal("protected outside of a sandbox")
	}
	p.Settle()
	if n, err := p.Checkpoint(); n != 0 || err != nil {
		t.Errorf("Checkpoint() = %d, %v", n, err)
	}
	if err := p.Resolved(); err != nil {
		t.Error(err)
	}
	if err := p.Heartbeat(time.Second); err != nil {
		t.Error(err)
	}
	if err := p.Fail(Failure{Message: "m", Data: []byte("d")}); !errors.Is(err, ErrNotProtected) {
		t.Errorf("Fail() = %v", err)
	}
	if _, err := p.Info(); !errors.Is(err, ErrNotProtected) {
		t.Errorf("Info() = %v", err)
	}
}

func TestAttach(t *testing.T) {
	k := &fakeKernel{}
	if p := mustAttach(t, k, Options{MaxLevel: 3}); !p.Protected() {
		t.Error("not protected")
	}
	if k.attached != (attachArg{size: 16, signo: 42, maxLevel: 3}) {
		t.Errorf("attached with %+v", k.attached)
	}
	k.attachErr = syscall.EPERM
	if _, err := attach(Options{}, k.call); !errors.Is(err, syscall.EPERM) {
		t.Errorf("attach() = %v", err)
	}
	for level, h := range map[uint32]Handler{0: func(Info) {}, 1: nil} {
		if _, err := Attach(Options{Handlers: map[uint32]Handler{level: h}}); !errors.Is(err, ErrBadHandler) {
			t.Errorf("handler of level %d: %v", level, err)
		}
	}
}

func TestChoose(t *testing.T) {
	var ran uint32
	record := func(level uint32) Handler { return func(Info) { ran = level } }
	handlers := map[uint32]Handler{2: record(2), 4: record(4)}
	for asked, want := range map[uint32]uint32{0: 0, 1: 0, 2: 2, 3: 2, 4: 4, 5: 4, 1000: 4} {
		ran = 0
		if h := choose(handlers, asked); h != nil {
			h(Info{})
		}
		if ran != want {
			t.Errorf("level %d asked for: handler of level %d ran, want %d", asked, ran, want)
		}
	}
}

func TestInterruptRunsTheHandlerOnce(t *testing.T) {
	const signo = syscall.SIGUSR2
	k := &fakeKernel{}
	ran := make(chan Info, 8)
	p := mustAttach(t, k, Options{Signal: signo, Handlers: map[uint32]Handler{1: func(i Info) { ran <- i }}})

	k.failed(7, 2, "account 17")
	if err := syscall.Kill(syscall.Getpid(), signo); err != nil {
		t.Fatal(err)
	}
	info := <-ran
	if info.Level != 2 || info.Message != "broken" || string(info.Data) != "account 17" {
		t.Errorf("handler got %+v", info)
	}
	p.Settle()
	k.failed(8, 1, "")
	p.Settle()
	if err := syscall.Kill(syscall.Getpid(), signo); err != nil {
		t.Fatal(err)
	}
	p.Settle()
	if len(ran) != 1 {
		t.Errorf("handler ran %d times for the second failure, want 1", len(ran))
	}
}

func TestCheckpointReturnsTwice(t *testing.T) {
	k := &fakeKernel{interrupted: 2}
	runs := 0
	p := mustAttach(t, k, Options{Handlers: map[uint32]Handler{1: func(Info) { runs++ }}})
	if n, err := p.Checkpoint(); n != 0 || err != nil || runs != 0 {
		t.Errorf("Checkpoint() = %d, %v after %d runs", n, err, runs)
	}
	k.failed(9, 1, "")
	k.checkpoint = 3
	if n, err := p.Checkpoint(); n != 3 || err != nil || runs != 1 {
		t.Errorf("in the copy: Checkpoint() = %d, %v after %d runs", n, err, runs)
	}
	k.off = true
	if n, err := p.Checkpoint(); n != 0 || err != nil {
		t.Errorf("with recovery off: Checkpoint() = %d, %v", n, err)
	}
}

func TestSettleWaitsForTheHandler(t *testing.T) {
	k := &fakeKernel{}
	started, release, settled := make(chan bool), make(chan bool), make(chan bool)
	p := mustAttach(t, k, Options{Handlers: map[uint32]Handler{1: func(Info) {
		started <- true
		<-release
	}}})
	k.failed(10, 1, "")
	go p.Settle()
	<-started
	go func() { p.Settle(); close(settled) }()
	select {
	case <-settled:
		t.Error("Settle returned while the handler ran")
	case <-time.After(50 * time.Millisecond):
	}
	close(release)
	<-settled
}

func TestFail(t *testing.T) {
	k := &fakeKernel{}
	p := mustAttach(t, k, Options{})
	err := p.Fail(Failure{Code: -7, Message: "broken", Data: []byte("abc"), Key: 99})
	if !errors.Is(err, ErrNotRecoverable) {
		t.Errorf("Fail() = %v", err)
	}
	if k.reported.size != 48 || k.reported.code != -7 || k.reported.key != 99 || string(k.message) != "broken" || string(k.data) != "abc" {
		t.Errorf("reported %+v, message %q, data %q", k.reported, k.message, k.data)
	}
	if err := p.Fail(Failure{Data: make([]byte, MaxData+1)}); !errors.Is(err, ErrDataTooLong) {
		t.Errorf("Fail() = %v", err)
	}
}

func TestCut(t *testing.T) {
	long := strings.Repeat("x", MaxMessage-1)
	for message, want := range map[string]int{"": 0, "é": 2, long + "x": MaxMessage, long + "xx": MaxMessage, long + "é": MaxMessage - 1} {
		if got := len(cut(message)); got != want {
			t.Errorf("%d bytes cut to %d, want %d", len(message), got, want)
		}
	}
}

func TestHeartbeat(t *testing.T) {
	k := &fakeKernel{}
	p := mustAttach(t, k, Options{})
	if err := p.Heartbeat(2 * time.Second); err != nil || k.heartbeat != 2e9 {
		t.Errorf("Heartbeat: %v, timeout %d", err, k.heartbeat)
	}
	if err := p.Heartbeat(-1); err != nil || k.heartbeat != 0 {
		t.Errorf("negative timeout: %v, timeout %d", err, k.heartbeat)
	}
}
