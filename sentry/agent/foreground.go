package agent

import (
	"errors"
	"fmt"

	"gvisor.dev/gvisor/pkg/abi/linux"
	"gvisor.dev/gvisor/pkg/sentry/kernel"

	"runsc-recover/sentry/wire"
)

var errNoFirst = errors.New("the first process is gone")

// signalForeground serves VerbForeground: it signals the foreground process
// group of the terminal of a container's first process, or where there is none
// that process. gVisor's own way knows the terminal of a sandbox that was
// started, not of one that was restored.
func (a *Agent) signalForeground(container string, sig linux.Signal) *wire.Error {
	a.mu.Lock()
	k, known := a.k, a.opts.Container
	a.mu.Unlock()
	if container != known {
		return wireError(wire.CodeState, fmt.Errorf("no container %q", container))
	}
	if k == nil {
		return wireError(wire.CodeState, errNoKernel)
	}
	first := k.RootPIDNamespace().ThreadGroupWithID(firstPID)
	if first == nil {
		return wireError(wire.CodeState, errNoFirst)
	}
	info := &linux.SignalInfo{Signo: int32(sig), Code: linux.SI_KERNEL}
	if err := sendTo(k, first, foregroundOf(k, first), info); err != nil {
		return wireError(wire.CodeInternal, err)
	}
	return nil
}

func sendTo(k *kernel.Kernel, first *kernel.ThreadGroup, group *kernel.ProcessGroup, info *linux.SignalInfo) error {
	if group == nil {
		return k.SendExternalSignalThreadGroup(first, info)
	}
	return k.SendExternalSignalProcessGroup(group, info)
}

// foregroundOf returns the foreground group of tg's terminal, or nil.
func foregroundOf(k *kernel.Kernel, tg *kernel.ThreadGroup) *kernel.ProcessGroup {
	tty := tg.GetTTY()
	if tty == nil {
		return nil
	}
	defer tty.DecRef(k.SupervisorContext())
	group, err := tg.ForegroundProcessGroup(tty)
	if err != nil {
		return nil
	}
	return group
}
