package agent

import (
	"testing"

	"gvisor.dev/gvisor/pkg/abi/linux"
	"gvisor.dev/gvisor/pkg/sentry/kernel"

	"runsc-recover/sentry/failure"
	"runsc-recover/sentry/kerneltest"
	"runsc-recover/sentry/wire"
	"runsc-recover/test/expect"
)

const (
	interrupt = linux.SIGUSR1 // the container's
	own       = linux.SIGUSR2 // a process's choice
	handler   = 0x1000
)

func TestClamp(t *testing.T) {
	for _, c := range []struct{ limit, level, want uint32 }{{0, 7, 7}, {3, 2, 2}, {3, 3, 3}, {3, 4, 3}} {
		expect.Equal(t, "level", attachment{MaxLevel: c.limit}.clamp(c.level), c.want)
	}
}

func TestSurvives(t *testing.T) {
	for _, c := range []struct {
		name    string
		handler uint64
		blocked bool
		want    bool
	}{
		{"a handler", handler, false, true},
		{"a handler, blocked", handler, true, true},
		{"no handler", linux.SIG_DFL, false, false},
		{"no handler, blocked for sigwait", linux.SIG_DFL, true, true},
		{"ignored", linux.SIG_IGN, false, false},
		{"ignored, blocked", linux.SIG_IGN, true, false},
	} {
		expect.Equal(t, c.name, survives(c.handler, c.blocked), c.want)
	}
}

// sandbox is an agent with a kernel of the given processes, of which the first
// is the container's.
type sandbox struct {
	*Agent
	t *testing.T
}

func newSandbox(t *testing.T) sandbox {
	a := newAgent()
	a.opts = Options{Enabled: true, Report: true, Signal: true, Exit: true, Interrupt: int(interrupt), Container: "web"}
	a.setKernel(kerneltest.New(t, nil))
	return sandbox{a, t}
}

func (s sandbox) task(task kerneltest.Task) *kernel.Task {
	s.t.Helper()
	return kerneltest.NewTask(s.t, s.k, task)
}

func (s sandbox) thread(of *kernel.Task, blocks ...linux.Signal) *kernel.Task {
	s.t.Helper()
	return s.task(kerneltest.Task{Name: "thread", Parent: of, Thread: true, Blocks: linux.MakeSignalSet(blocks...)})
}

func handle(t *testing.T, task *kernel.Task, sig linux.Signal, handler uint64) {
	t.Helper()
	if _, err := task.ThreadGroup().SetSigAction(sig, &linux.SigAction{Handler: handler}); err != nil {
		t.Fatal(err)
	}
}

// expectInterrupt takes a task's pending signal and compares it; signal 0 is
// none.
func expectInterrupt(t *testing.T, name string, task *kernel.Task, sig linux.Signal, level uint64) {
	t.Helper()
	info := kerneltest.Pending(task)
	if info == nil {
		info = &linux.SignalInfo{}
	}
	expect.Equal(t, name+": signal", linux.Signal(info.Signo), sig)
	if sig != 0 {
		expect.Equal(t, name+": level", info.Sigval(), level)
		expect.Equal(t, name+": sender", info.Code, linux.SI_QUEUE)
	}
	if more := kerneltest.Pending(task); more != nil {
		t.Errorf("%s: signal %d is pending too", name, more.Signo)
	}
}

// TestInterruptOfFirstProcess: without attachments the first process is
// interrupted, where it has a handler.
func TestInterruptOfFirstProcess(t *testing.T) {
	for _, c := range []struct {
		name    string
		handler uint64
		blocks  []linux.Signal
		want    linux.Signal
	}{
		{"a handler", handler, nil, interrupt},
		{"a handler, blocked", handler, []linux.Signal{interrupt}, interrupt},
		{"no handler", linux.SIG_DFL, nil, 0},
		{"no handler, blocked", linux.SIG_DFL, []linux.Signal{interrupt}, 0},
		{"ignored", linux.SIG_IGN, nil, 0},
	} {
		s := newSandbox(t)
		first := s.task(kerneltest.Task{Name: "first", Blocks: linux.MakeSignalSet(c.blocks...)})
		child := s.task(kerneltest.Task{Name: "child", Parent: first})
		handle(t, first, interrupt, c.handler)
		handle(t, child, interrupt, handler)
		if err := s.release(&failure.Info{Level: 3, Attempt: 1}); err != nil {
			t.Fatal(err)
		}
		expectInterrupt(t, c.name, first, c.want, 3)
		expectInterrupt(t, c.name+": the child", child, 0, 0)
	}
}

// TestInterruptOfAttachedProcesses: each process gets its own signal, at its own
// level, and the first process gets none unless it is attached.
func TestInterruptOfAttachedProcesses(t *testing.T) {
	s := newSandbox(t)
	first := s.task(kerneltest.Task{Name: "first"})
	one := s.task(kerneltest.Task{Name: "one", Parent: first})
	other := s.task(kerneltest.Task{Name: "other", Parent: first, Blocks: linux.MakeSignalSet(own)})
	unready := s.task(kerneltest.Task{Name: "unready", Parent: first})
	handle(t, first, interrupt, handler)
	handle(t, one, interrupt, handler)
	s.attached = map[kernel.ThreadID]attachment{
		2:  {MaxLevel: 2},
		3:  {Signo: uint32(own)},
		4:  {Signo: uint32(own)},
		99: {},
	}
	if err := s.release(&failure.Info{Level: 5}); err != nil {
		t.Fatal(err)
	}
	expectInterrupt(t, "the first process", first, 0, 0)
	expectInterrupt(t, "one with a handler", one, interrupt, 2)
	expectInterrupt(t, "one that waits by sigwait", other, own, 5)
	expectInterrupt(t, "one that would die of it", unready, 0, 0)
	expect.Equal(t, "attachments of processes that are there", len(s.attached), 3)
}

// TestInterruptedThread: of a process's threads the one that attached for itself
// is interrupted, else the one that waits in RECOVER_CHECKPOINT, else the first;
// where that one blocks the signal, the kernel chooses.
func TestInterruptedThread(t *testing.T) {
	const leader, second, third = 0, 1, 2
	for _, c := range []struct {
		name     string
		attached int // a thread that attached for itself; leader for the process
		waits    int // a thread in RECOVER_CHECKPOINT; leader for none
		blocks   []int
		want     int
		process  bool // the signal is the whole process's
	}{
		{name: "the process attached", want: leader},
		{name: "a thread attached", attached: second, want: second},
		{name: "a thread attached, another waits", attached: second, waits: third, want: second},
		{name: "a thread waits", waits: third, want: third},
		{name: "the first blocks it", blocks: []int{leader}, process: true},
		{name: "the waiting one blocks it", waits: third, blocks: []int{third}, process: true},
		{name: "a thread attached and blocks it", attached: second, blocks: []int{second}, want: second},
	} {
		s := newSandbox(t)
		var threads []*kernel.Task
		for i := range 3 {
			var blocked []linux.Signal
			for _, b := range c.blocks {
				if b == i {
					blocked = append(blocked, interrupt)
				}
			}
			if i == leader {
				threads = append(threads, s.task(kerneltest.Task{Name: "first", Blocks: linux.MakeSignalSet(blocked...)}))
			} else {
				threads = append(threads, s.thread(threads[leader], blocked...))
			}
		}
		handle(t, threads[leader], interrupt, handler)
		at := attachment{}
		if c.attached != leader {
			at.TID = kernel.ThreadID(c.attached + 1)
		}
		s.attached[1] = at
		if c.waits != leader {
			s.parked.park(kernel.ThreadID(c.waits+1), parkedCheckpoint, callSite{})
		}
		if err := s.release(&failure.Info{Level: 1}); err != nil {
			t.Fatal(err)
		}
		if c.process {
			// Any thread finds a signal of the process.
			expectInterrupt(t, c.name, threads[second], interrupt, 1)
			continue
		}
		for i, thread := range threads {
			if i != c.want {
				expectInterrupt(t, c.name+": another thread", thread, 0, 0)
			}
		}
		expectInterrupt(t, c.name, threads[c.want], interrupt, 1)
	}
}

// TestRelease: calls return the attempt, heartbeats beat again, and the program
// runs.
func TestRelease(t *testing.T) {
	s := newSandbox(t)
	s.task(kerneltest.Task{Name: "first"})
	s.parked.restore(map[kernel.ThreadID]callSite{1: {SP: 1}})
	info := &failure.Info{Attempt: 4, Level: 1}
	if err := s.release(info); err != nil {
		t.Fatal(err)
	}
	d, decided := s.parked.take(1, parkedCheckpoint, callSite{SP: 1})
	expect.Equal(t, "the call is decided", decided, true)
	expect.Equal(t, "its result", d, decision{value: 4})
	expect.Equal(t, "the failure is kept for the program", s.info == info, true)

	err := newAgent().release(nil)
	if err == nil || err.Code != wire.CodeState {
		t.Errorf("a sandbox without a kernel is released: %v", err)
	}
}
