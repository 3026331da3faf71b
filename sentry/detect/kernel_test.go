package detect

import (
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"gvisor.dev/gvisor/pkg/abi/linux"
	"gvisor.dev/gvisor/pkg/sentry/arch"
	"gvisor.dev/gvisor/pkg/sentry/kernel"
	ucspb "gvisor.dev/gvisor/pkg/sentry/kernel/uncaught_signal_go_proto"

	"runsc-recover/sentry/abi"
	"runsc-recover/sentry/failure"
	"runsc-recover/sentry/kerneltest"
	"runsc-recover/test/expect"
)

// sandbox records failures.
type sandbox struct {
	k        *kernel.Kernel
	on       Causes
	onTask   []failure.State
	offTasks []failure.State
}

func (s *sandbox) FailOnTask(f Look) {
	if state, failed := f(s.k, s.on); failed {
		s.onTask = append(s.onTask, state)
	}
}

func (s *sandbox) FailOffTask(f Look) {
	if state, failed := f(s.k, s.on); failed {
		s.offTasks = append(s.offTasks, state)
	}
}

// TestFatalSignals: a signal is a failure or not by its number and by the
// process that dies of it.
func TestFatalSignals(t *testing.T) {
	k := kerneltest.New(t, nil)
	first := kerneltest.NewTask(t, k, kerneltest.Task{Name: "first"})
	child := kerneltest.NewTask(t, k, kerneltest.Task{Name: "child", Parent: first})
	thread := kerneltest.NewTask(t, k, kerneltest.Task{Name: "worker", Parent: child, Thread: true})
	exec := kerneltest.NewTask(t, k, kerneltest.Task{Name: "sh", Exec: true})
	grandchild := kerneltest.NewTask(t, k, kerneltest.Task{Name: "ls", Parent: exec})
	for _, c := range []struct {
		name    string
		task    *kernel.Task
		signal  linux.Signal
		off     bool
		program string // of the failure; empty for none
	}{
		{name: "a bug of the first process", task: first, signal: linux.SIGSEGV, program: "first"},
		{name: "another signal to it", task: first, signal: linux.SIGUSR1, program: "first"},
		{name: "its end on purpose", task: first, signal: linux.SIGTERM},
		{name: "a bug of a child", task: child, signal: linux.SIGABRT, program: "child"},
		{name: "a bug of a child's thread", task: thread, signal: linux.SIGBUS, program: "child"},
		{name: "another signal to a child", task: child, signal: linux.SIGUSR1},
		{name: "a bug of an exec", task: exec, signal: linux.SIGSEGV},
		{name: "a bug of an exec's child", task: grandchild, signal: linux.SIGSEGV},
		{name: "a bug where signals aren't failures", task: first, signal: linux.SIGSEGV, off: true},
	} {
		s := &sandbox{k: k, on: Causes{Signal: !c.off}}
		event := &ucspb.UncaughtSignal{
			Tid: int32(ThreadID(c.task)), Pid: int32(ProcessID(c.task)), SignalNumber: int32(c.signal), FaultAddr: 0x1234,
		}
		if _, err := (Signals{s}).Emit(event); err != nil {
			t.Fatal(err)
		}
		expect.Equal(t, c.name+": is a failure", len(s.onTask) == 1, c.program != "")
		for _, f := range s.onTask {
			expect.Equal(t, c.name+": kind", f.Kind, failure.Signal)
			expect.Equal(t, c.name+": signal", f.Signo, int32(c.signal))
			expect.Equal(t, c.name+": program", f.Program, c.program)
			expect.Equal(t, c.name+": thread", f.TID, event.Tid)
			expect.Equal(t, c.name+": process", f.PID, event.Pid)
			expect.Equal(t, c.name+": address", f.FaultAddr, event.FaultAddr)
			expect.Equal(t, c.name+": is valid", f.Validate(), nil)
		}
	}
}

// TestOtherEvents: a signal of a task that is gone, and events of another kind,
// are no failures.
func TestOtherEvents(t *testing.T) {
	s := &sandbox{k: kerneltest.New(t, nil), on: Causes{Signal: true}}
	e := Signals{s}
	for _, event := range []proto.Message{&ucspb.UncaughtSignal{Tid: 77, SignalNumber: 11}, nil} {
		if _, err := e.Emit(event); err != nil {
			t.Error(err)
		}
	}
	expect.Equal(t, "failures", len(s.onTask), 0)
	expect.Equal(t, "error of Close", e.Close(), nil)
}

func TestWrappedExit(t *testing.T) {
	k := kerneltest.New(t, nil)
	first := kerneltest.NewTask(t, k, kerneltest.Task{Name: "first"})
	child := kerneltest.NewTask(t, k, kerneltest.Task{Name: "child", Parent: first})
	exec := kerneltest.NewTask(t, k, kerneltest.Task{Name: "sh", Exec: true})
	threaded := kerneltest.New(t, nil)
	one := kerneltest.NewTask(t, threaded, kerneltest.Task{Name: "one"})
	kerneltest.NewTask(t, threaded, kerneltest.Task{Name: "other", Parent: one, Thread: true})
	for _, c := range []struct {
		name   string
		task   *kernel.Task
		group  bool
		status uint64
		fails  bool
		code   int32
	}{
		{name: "success", task: first, group: true},
		{name: "failure", task: first, group: true, status: 3, fails: true, code: 3},
		{name: "failure of the last thread", task: first, status: 3, fails: true, code: 3},
		{name: "failure of one of two threads", task: one, status: 3},
		{name: "failure of a process of two threads", task: one, group: true, status: 3, fails: true, code: 3},
		{name: "a status that is wider than a byte", task: first, group: true, status: 0x1ff, fails: true, code: 0xff},
		{name: "a wide status whose byte is 0", task: first, group: true, status: 0x100},
		{name: "failure of a child", task: child, group: true, status: 3},
		{name: "failure of an exec", task: exec, group: true, status: 3},
	} {
		for _, parks := range []error{nil, unix.EAGAIN} {
			went, parked := 0, []int32(nil)
			exit := WrapExit(func(*kernel.Task, uintptr, arch.SyscallArguments) (uintptr, *kernel.SyscallControl, error) {
				went++
				return 0, nil, nil
			}, c.group, func(_ *kernel.Task, status int32) error {
				parked = append(parked, status)
				return parks
			})
			_, _, err := exit(c.task, 0, arch.SyscallArguments{{Value: uintptr(c.status)}})
			if !c.fails {
				expect.Equal(t, c.name+": is parked", len(parked), 0)
				expect.Equal(t, c.name+": goes on", went, 1)
				continue
			}
			if len(parked) != 1 || parked[0] != c.code {
				t.Errorf("%s: parked with %v, want %d", c.name, parked, c.code)
			}
			expect.Equal(t, c.name+": error", err, parks)
			expect.Equal(t, c.name+": goes on", went == 1, parks == nil)
		}
	}
}

func TestDescriptions(t *testing.T) {
	k := kerneltest.New(t, nil)
	first := kerneltest.NewTask(t, k, kerneltest.Task{Name: "pro\xffgram"})
	exit := Exit(first, 3)
	expect.Equal(t, "an exit's kind", exit.Kind, failure.Exit)
	expect.Equal(t, "an exit's program", exit.Program, "pro?gram")
	expect.Equal(t, "an exit is valid", exit.Validate(), nil)

	given := Reported(first, abi.Failure{Code: 7, Key: 5, Message: []byte("no\xff"), Data: []byte{1}})
	expect.Equal(t, "a report's key", given.Key, 5)
	expect.Equal(t, "a report's message", given.Message, "no?")
	expect.Equal(t, "a report is valid", given.Validate(), nil)
	derived := Reported(first, abi.Failure{Code: 7, Message: []byte("no")})
	expect.Equal(t, "a derived key", derived.Key, failure.KeyOfReport(7, []byte("no"), "pro?gram"))
}

// TestLocate: anonymous memory has no file, and neither has an address that
// isn't mapped.
func TestLocate(t *testing.T) {
	k := kerneltest.New(t, nil)
	task := kerneltest.NewTask(t, k, kerneltest.Task{Name: "first"})
	mapped := uint64(kerneltest.Map(t, task, 4096))
	for _, address := range []uint64{mapped, mapped + 100, 1 << 40} {
		file, offset := locate(task, address)
		expect.Equal(t, "file", file, "")
		expect.Equal(t, "offset", offset, address)
	}
}

// TestHeartbeats: a process that doesn't beat in time hangs, unless it is gone,
// the program is paused, or reports aren't failures.
func TestHeartbeats(t *testing.T) {
	const timeout = time.Second
	for _, c := range []struct {
		name    string
		process kernel.ThreadID
		off     bool
		paused  bool
		after   func(h *Heartbeats) // half the timeout later
		hangs   bool
		armed   int // in the end
	}{
		{name: "no beat", process: 1, hangs: true},
		{name: "a beat in time", process: 1, after: func(h *Heartbeats) { h.Set(1, timeout) }, armed: 1},
		{name: "disarmed", process: 1, after: func(h *Heartbeats) { h.Set(1, 0) }},
		{name: "a process that is gone", process: 7},
		{name: "reports aren't failures", process: 1, off: true},
		{name: "paused", process: 1, paused: true, armed: 1},
	} {
		k := kerneltest.New(t, nil)
		kerneltest.NewTask(t, k, kerneltest.Task{Name: "first"})
		if c.paused {
			k.Pause()
		}
		synctest.Test(t, func(t *testing.T) {
			s := &sandbox{k: k, on: Causes{Report: !c.off}}
			h := NewHeartbeats(s)
			h.Set(c.process, timeout)
			time.Sleep(timeout / 2)
			if c.after != nil {
				c.after(h)
			}
			time.Sleep(timeout/2 + time.Millisecond)
			synctest.Wait()
			expect.Equal(t, c.name+": hangs", len(s.offTasks) == 1, c.hangs)
			expect.Equal(t, c.name+": armed", len(h.Timeouts()), c.armed)
			for _, f := range s.offTasks {
				expect.Equal(t, c.name+": kind", f.Kind, failure.Hang)
				expect.Equal(t, c.name+": key", f.Key, failure.KeyOfHang("first"))
				expect.Equal(t, c.name+": process", f.PID, 1)
			}
			h.Set(c.process, 0)
		})
	}
}

// TestRestoredHeartbeats: clocks stand still until the copy is released.
func TestRestoredHeartbeats(t *testing.T) {
	k := kerneltest.New(t, nil)
	kerneltest.NewTask(t, k, kerneltest.Task{Name: "first"})
	synctest.Test(t, func(t *testing.T) {
		s := &sandbox{k: k, on: Causes{Report: true}}
		h := NewHeartbeats(s)
		h.Restore(map[kernel.ThreadID]time.Duration{1: time.Second})
		time.Sleep(time.Minute)
		expect.Equal(t, "failures of a held copy", len(s.offTasks), 0)
		expect.Equal(t, "its timeout", h.Timeouts()[1], time.Second)
		h.Resume()
		time.Sleep(time.Second + time.Millisecond)
		synctest.Wait()
		expect.Equal(t, "failures after its release", len(s.offTasks), 1)
	})
}

func TestShortHeartbeatsAreLengthened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHeartbeats(&sandbox{})
		h.Set(1, 1)
		expect.Equal(t, "timeout", h.Timeouts()[1], minHeartbeat)
		h.Set(1, 0)
	})
}
