package agent

import (
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/errors/linuxerr"
	"gvisor.dev/gvisor/pkg/hostarch"
	"gvisor.dev/gvisor/pkg/sentry/arch"
	"gvisor.dev/gvisor/pkg/sentry/kernel"

	"runsc-recover/sentry/abi"
	"runsc-recover/sentry/detect"
	"runsc-recover/sentry/wire"
)

// taskMemory is the memory of the task whose goroutine uses it.
type taskMemory struct {
	t *kernel.Task
}

// CopyIn implements abi.Memory.
func (m taskMemory) CopyIn(addr uint64, dst []byte) error {
	n, err := m.t.CopyInBytes(hostarch.Addr(addr), dst)
	if err == nil && n < len(dst) {
		return unix.EFAULT
	}
	return err
}

// CopyOut implements abi.Memory.
func (m taskMemory) CopyOut(addr uint64, src []byte) error {
	n, err := m.t.CopyOutBytes(hostarch.Addr(addr), src)
	if err == nil && n < len(src) {
		return unix.EFAULT
	}
	return err
}

// call is the recovery system call. It runs on t's goroutine.
func (a *Agent) call(t *kernel.Task, _ uintptr, args arch.SyscallArguments) (uintptr, *kernel.SyscallControl, error) {
	ret, err := a.dispatch(t, abi.Op(args[0].Uint()), args[1].Uint64(), args[2].Uint64())
	return uintptr(ret), nil, err
}

// dispatch validates the argument of an operation and carries the operation out.
func (a *Agent) dispatch(t *kernel.Task, op abi.Op, arg, size uint64) (int, error) {
	mem := taskMemory{t}
	switch op {
	case abi.OpAttach:
		at, err := abi.CopyAttach(mem, arg, size)
		if err != nil {
			return 0, err
		}
		a.attach(t, at)
		return 0, nil
	case abi.OpFail:
		f, err := abi.CopyFailure(mem, arg, size)
		if err != nil {
			return 0, err
		}
		return 0, a.reportCall(t, f)
	case abi.OpInfo:
		if err := abi.CheckInfo(mem, arg, size); err != nil {
			return 0, err
		}
		return 0, a.infoCall(t, arg)
	case abi.OpData:
		buf, err := abi.CopyBuffer(mem, arg, size)
		if err != nil {
			return 0, err
		}
		return a.dataCall(t, buf)
	case abi.OpHeartbeat:
		h, err := abi.CopyHeartbeat(mem, arg, size)
		if err != nil {
			return 0, err
		}
		a.heartbeats.Set(detect.ProcessID(t), h.Timeout)
		return 0, nil
	}
	return a.dispatchPlain(t, op, arg, size)
}

// dispatchPlain carries out the operations that take no argument.
func (a *Agent) dispatchPlain(t *kernel.Task, op abi.Op, arg, size uint64) (int, error) {
	switch op {
	case abi.OpVersion, abi.OpCheckpoint, abi.OpResolved:
	default:
		return 0, unix.EINVAL
	}
	if err := abi.CheckNoArg(arg, size); err != nil {
		return 0, err
	}
	switch op {
	case abi.OpCheckpoint:
		return a.checkpointCall(t)
	case abi.OpResolved:
		a.send(wire.Message{Resolved: &wire.Resolved{}})
		return 0, nil
	}
	return abi.Version, nil
}

// infoCall serves RECOVER_INFO.
func (a *Agent) infoCall(t *kernel.Task, arg uint64) error {
	a.mu.Lock()
	info, level := a.info, uint32(0)
	if info != nil {
		level = a.attached[detect.ProcessID(t)].clamp(info.Level)
	}
	a.mu.Unlock()
	if info == nil {
		return unix.ENODATA
	}
	f := info.Failure
	return abi.PutInfo(taskMemory{t}, arg, abi.Info{
		Level: level, Attempt: info.Attempt, Kind: uint32(f.Kind), Code: f.Code, Signo: f.Signo,
		PID: f.PID, TID: f.TID, FaultAddr: f.FaultAddr, FaultIP: f.FaultIP, Key: f.Key,
		CheckpointSeq: info.CheckpointSeq, CheckpointTime: info.CheckpointTime,
		FailureTime: f.Time, FailureAfter: info.FailureAfter,
		Message: []byte(f.Message), DataLen: uint32(len(f.Data)),
	})
}

// dataCall serves RECOVER_DATA.
func (a *Agent) dataCall(t *kernel.Task, buf abi.Buffer) (int, error) {
	a.mu.Lock()
	info := a.info
	a.mu.Unlock()
	if info == nil {
		return 0, unix.ENODATA
	}
	return abi.PutData(taskMemory{t}, buf, info.Failure.Data)
}

// exitCall parks a task at an exit that is a failure. It returns nil when the
// exit is to go on.
func (a *Agent) exitCall(t *kernel.Task, status int32) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.opts.Exit {
		return nil
	}
	tid, site := detect.ThreadID(t), siteOf(t)
	if _, decided := a.parked.take(tid, parkedExit, site); decided {
		return nil
	}
	a.parked.park(tid, parkedExit, site)
	a.beginFailureLocked(t.Kernel(), detect.Exit(t, status))
	return linuxerr.ERESTARTNOINTR
}

// reportCall serves RECOVER_FAIL.
func (a *Agent) reportCall(t *kernel.Task, f abi.Failure) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.opts.Report {
		return unix.ENOTRECOVERABLE
	}
	tid, site := detect.ThreadID(t), siteOf(t)
	if ret, decided := a.parked.take(tid, parkedReport, site); decided {
		return ret.err
	}
	a.parked.park(tid, parkedReport, site)
	a.beginFailureLocked(t.Kernel(), detect.Reported(t, f))
	return linuxerr.ERESTARTNOINTR
}

// checkpointCall serves RECOVER_CHECKPOINT. In a copy restored while the call
// waited it runs again and returns the attempt.
func (a *Agent) checkpointCall(t *kernel.Task) (int, error) {
	tid, site := detect.ThreadID(t), siteOf(t)
	a.mu.Lock()
	if !a.opts.Enabled {
		a.mu.Unlock()
		return 0, unix.ENOTRECOVERABLE
	}
	if ret, decided := a.parked.take(tid, parkedCheckpoint, site); decided {
		a.mu.Unlock()
		return ret.value, ret.err
	}
	p, again := a.parked.park(tid, parkedCheckpoint, site)
	a.mu.Unlock()
	if !again {
		a.send(wire.Message{Checkpoint: &wire.CheckpointRequest{TID: int32(tid)}})
	}
	if err := t.Block(p.decided); err != nil {
		return 0, linuxerr.ERESTARTNOINTR
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	ret, _ := a.parked.take(tid, parkedCheckpoint, site)
	return ret.value, ret.err
}

// checkpointDone serves VerbCheckpointDone: it answers a RECOVER_CHECKPOINT.
func (a *Agent) checkpointDone(d wire.CheckpointDone) *wire.Error {
	ret := decision{}
	if d.Failed {
		ret.err = unix.EAGAIN
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.parked.decide(kernel.ThreadID(d.TID), parkedCheckpoint, ret)
	return nil
}
