package agent

import (
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gvisor.dev/gvisor/pkg/errors/linuxerr"
	"gvisor.dev/gvisor/pkg/hostarch"
	"gvisor.dev/gvisor/pkg/sentry/arch"
	"gvisor.dev/gvisor/pkg/sentry/kernel"

	"runsc-recover/sentry/abi"
	"runsc-recover/sentry/failure"
	"runsc-recover/sentry/kerneltest"
	"runsc-recover/sentry/wire"
	"runsc-recover/test/expect"
)

// program is a task that makes recovery calls.
type program struct {
	sandbox
	task   *kernel.Task
	memory uint64 // a mapped page, whose end isn't
}

func newProgram(t *testing.T) program {
	s := newSandbox(t)
	task := s.task(kerneltest.Task{Name: "program"})
	return program{s, task, uint64(kerneltest.Map(t, task, hostarch.PageSize))}
}

// put writes words of 4 bytes at the beginning of the program's memory.
func (p program) put(words ...uint32) {
	p.t.Helper()
	var b []byte
	for _, w := range words {
		b = binary.LittleEndian.AppendUint32(b, w)
	}
	var err error
	kerneltest.Do(p.task, func() { err = taskMemory{p.task}.CopyOut(p.memory, b) })
	if err != nil {
		p.t.Fatal(err)
	}
}

// read returns bytes of the program's memory.
func (p program) read(at, n uint64) []byte {
	p.t.Helper()
	b := make([]byte, n)
	var err error
	kerneltest.Do(p.task, func() { err = taskMemory{p.task}.CopyIn(p.memory+at, b) })
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}

// call makes a recovery call.
func (p program) call(op abi.Op, arg, size uint64) (ret int, err error) {
	kerneltest.Do(p.task, func() {
		value, _, e := p.Agent.call(p.task, abi.Sysno, arch.SyscallArguments{{Value: uintptr(op)}, {Value: uintptr(arg)}, {Value: uintptr(size)}})
		ret, err = int(value), e
	})
	return ret, err
}

// TestCallsRefuse: every operation refuses an argument that it can't have been
// given on purpose.
func TestCallsRefuse(t *testing.T) {
	p := newProgram(t)
	end := p.memory + hostarch.PageSize
	for _, c := range []struct {
		name      string
		op        abi.Op
		arg, size uint64
		want      error
	}{
		{"an unknown operation", 99, 0, 0, unix.EINVAL},
		{"a version of an argument", abi.OpVersion, p.memory, 8, unix.EINVAL},
		{"a checkpoint of an argument", abi.OpCheckpoint, p.memory, 8, unix.EINVAL},
		{"a resolution of an argument", abi.OpResolved, p.memory, 8, unix.EINVAL},
		{"attach: no argument", abi.OpAttach, 0, 0, unix.EINVAL},
		{"attach: memory that isn't there", abi.OpAttach, 8, abi.SizeAttach, unix.EFAULT},
		{"attach: memory that ends", abi.OpAttach, end - 8, abi.SizeAttach, unix.EFAULT},
		{"attach: a size that isn't the structure's", abi.OpAttach, p.memory, abi.SizeAttach, unix.EINVAL},
		{"fail: too large", abi.OpFail, p.memory, abi.MaxStruct + 1, unix.E2BIG},
		{"fail: memory that ends", abi.OpFail, end - 8, abi.SizeFailure, unix.EFAULT},
		{"info: too small", abi.OpInfo, p.memory, 8, unix.EINVAL},
		{"data: memory that isn't there", abi.OpData, 8, abi.SizeBuffer, unix.EFAULT},
		{"heartbeat: an address beyond all", abi.OpHeartbeat, ^uint64(7), abi.SizeHeartbeat, unix.EFAULT},
	} {
		if _, err := p.call(c.op, c.arg, c.size); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	expect.Equal(t, "attachments", len(p.attached), 0)
	expect.Equal(t, "parked calls", len(p.parked), 0)
}

func TestVersionCall(t *testing.T) {
	p := newProgram(t)
	got, err := p.call(abi.OpVersion, 0, 0)
	expect.Equal(t, "error", err, nil)
	expect.Equal(t, "version", got, abi.Version)
}

func TestAttachCall(t *testing.T) {
	p := newProgram(t)
	for _, c := range []struct {
		name  string
		flags uint32
		want  attachment
	}{
		{"for the process", 0, attachment{Signo: 10, MaxLevel: 3}},
		{"for the thread", abi.AttachToThread, attachment{Signo: 10, MaxLevel: 3, TID: 1}},
	} {
		p.put(abi.SizeAttach, 10, c.flags, 3)
		_, err := p.call(abi.OpAttach, p.memory, abi.SizeAttach)
		expect.Equal(t, c.name+": error", err, nil)
		expect.Equal(t, c.name, p.attached[1], c.want)
	}
}

// TestAttachmentsOfGoneProcessesAreDropped: a program that forks and attaches
// leaves no more behind than a bound.
func TestAttachmentsOfGoneProcessesAreDropped(t *testing.T) {
	p := newProgram(t)
	for pid := range kernel.ThreadID(maxAttached) {
		p.attached[pid+100] = attachment{}
	}
	p.attach(p.task, abi.Attach{Signo: 10})
	expect.Equal(t, "attachments", len(p.attached), 1)
	expect.Equal(t, "the one that is left", p.attached[1].Signo, 10)
}

func TestInfoAndDataCalls(t *testing.T) {
	p := newProgram(t)
	p.put(abi.SizeInfo)
	_, err := p.call(abi.OpInfo, p.memory, abi.SizeInfo)
	expect.Equal(t, "info without a failure", err, error(unix.ENODATA))
	p.put(abi.SizeBuffer, 0, 1, 0, uint32(p.memory+1024), uint32((p.memory+1024)>>32), 2, 0)
	_, err = p.call(abi.OpData, p.memory, abi.SizeBuffer)
	expect.Equal(t, "data without a failure", err, error(unix.ENODATA))

	p.info = &failure.Info{
		Level: 5, Attempt: 2, CheckpointSeq: 7,
		Failure: failure.State{Kind: failure.Reported, Code: 9, Key: 1, Message: "no", Data: []byte("data")},
	}
	n, err := p.call(abi.OpData, p.memory, abi.SizeBuffer)
	expect.Equal(t, "error", err, nil)
	expect.Equal(t, "bytes", n, 2)
	expect.Equal(t, "data from an offset on", string(p.read(1024, 2)), "at")

	p.attached[1] = attachment{MaxLevel: 3}
	p.put(abi.SizeInfo)
	_, err = p.call(abi.OpInfo, p.memory, abi.SizeInfo)
	expect.Equal(t, "error", err, nil)
	b := p.read(0, abi.SizeInfo)
	word := func(at int) uint32 { return binary.LittleEndian.Uint32(b[at:]) }
	expect.Equal(t, "level, limited", word(4), 3)
	expect.Equal(t, "attempt", word(8), 2)
	expect.Equal(t, "kind", word(12), uint32(failure.Reported))
	expect.Equal(t, "code", word(16), 9)
	expect.Equal(t, "size of the message", word(88), 2)
	expect.Equal(t, "size of the data", word(92), 4)
}

func TestHeartbeatCall(t *testing.T) {
	p := newProgram(t)
	timeout := uint64(time.Hour)
	p.put(abi.SizeHeartbeat, 0, uint32(timeout), uint32(timeout>>32))
	_, err := p.call(abi.OpHeartbeat, p.memory, abi.SizeHeartbeat)
	expect.Equal(t, "error", err, nil)
	expect.Equal(t, "timeout", p.heartbeats.Timeouts()[1], time.Hour)
	p.put(abi.SizeHeartbeat, 0, 0, 0)
	_, err = p.call(abi.OpHeartbeat, p.memory, abi.SizeHeartbeat)
	expect.Equal(t, "error", err, nil)
	expect.Equal(t, "armed heartbeats", len(p.heartbeats.Timeouts()), 0)
}

// TestReportCall: a report parks, and returns the decision when it runs again.
func TestReportCall(t *testing.T) {
	p := newProgram(t)
	p.put(abi.SizeFailure, 5, 77, 0, uint32(p.memory+1024), uint32((p.memory+1024)>>32), 3, 0, 0, 0, 0, 0)
	report := func() error {
		_, err := p.call(abi.OpFail, p.memory, abi.SizeFailure)
		return err
	}
	p.opts.Report = false
	expect.Equal(t, "where reports aren't failures", report(), error(unix.ENOTRECOVERABLE))
	p.opts.Report = true
	messages := p.listen()
	expect.Equal(t, "at first", report(), error(linuxerr.ERESTARTNOINTR))
	f := (<-messages).Failure
	if f == nil {
		t.Fatal("no failure is reported")
	}
	expect.Equal(t, "kind", f.Kind, failure.Reported)
	expect.Equal(t, "code", f.Code, 5)
	expect.Equal(t, "key", f.Key, 77)
	expect.Equal(t, "program", f.Program, "program")
	expect.Equal(t, "the kernel stands still", p.k.IsPaused(), true)
	if err := p.refuse(); err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "the kernel stands still after a refusal", p.k.IsPaused(), false)
	expect.Equal(t, "after a refusal", report(), error(unix.ENOTRECOVERABLE))
}

func TestExitCall(t *testing.T) {
	p := newProgram(t)
	exit := func() (err error) {
		kerneltest.Do(p.task, func() { err = p.exitCall(p.task, 3) })
		return err
	}
	p.opts.Exit = false
	expect.Equal(t, "where exits aren't failures", exit(), nil)
	p.opts.Exit = true
	messages := p.listen()
	expect.Equal(t, "at first", exit(), error(linuxerr.ERESTARTNOINTR))
	if f := (<-messages).Failure; f == nil || f.Kind != failure.Exit || f.Code != 3 {
		t.Errorf("%+v is reported", f)
	}
	if err := p.refuse(); err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "after a refusal", exit(), nil)
}

func TestResolvedCall(t *testing.T) {
	p := newProgram(t)
	messages := p.listen()
	_, err := p.call(abi.OpResolved, 0, 0)
	expect.Equal(t, "error", err, nil)
	expect.Equal(t, "the supervisor hears of it", (<-messages).Resolved != nil, true)
}

// TestCheckpointCall: the call waits for its checkpoint.
func TestCheckpointCall(t *testing.T) {
	p := newProgram(t)
	p.opts.Enabled = false
	_, err := p.call(abi.OpCheckpoint, 0, 0)
	expect.Equal(t, "where no failure is recovered from", err, error(unix.ENOTRECOVERABLE))
	p.opts.Enabled = true
	messages := p.listen()
	for _, c := range []struct {
		name  string
		end   func()
		value int
		err   error
	}{
		{"a checkpoint was taken", func() { p.checkpointDone(wire.CheckpointDone{TID: 1}) }, 0, nil},
		{"a checkpoint failed", func() { p.checkpointDone(wire.CheckpointDone{TID: 1, Failed: true}) }, 0, unix.EAGAIN},
		{"a copy was released", func() { p.release(&failure.Info{Attempt: 2}) }, 2, nil},
	} {
		done := make(chan struct{})
		var value int
		go func() {
			value, err = p.call(abi.OpCheckpoint, 0, 0)
			close(done)
		}()
		m := <-messages
		if m.Checkpoint == nil || m.Checkpoint.TID != 1 {
			t.Fatalf("%s: %+v is sent", c.name, m)
		}
		c.end()
		<-done
		expect.Equal(t, c.name+": error", err, c.err)
		expect.Equal(t, c.name+": value", value, c.value)
		expect.Equal(t, c.name+": parked calls", len(p.parked), 0)
	}
}

// TestCheckpointCallIsInterrupted: a pause takes the call out of its wait, and
// its restart waits on without asking for another checkpoint.
func TestCheckpointCallIsInterrupted(t *testing.T) {
	p := newProgram(t)
	messages := p.listen()
	calls := make(chan error)
	call := func() {
		_, err := p.call(abi.OpCheckpoint, 0, 0)
		calls <- err
	}
	go call()
	<-messages
	p.k.Pause()
	expect.Equal(t, "the call in a pause", <-calls, error(linuxerr.ERESTARTNOINTR))
	waiting := p.snapshot().Waiting
	expect.Equal(t, "calls in a checkpoint taken meanwhile", len(waiting), 1)
	p.k.Unpause()
	go call()
	p.checkpointDone(wire.CheckpointDone{TID: 1})
	expect.Equal(t, "the call that runs again", <-calls, nil)
	select {
	case m := <-messages:
		t.Errorf("%+v is sent", m)
	default:
	}
}
