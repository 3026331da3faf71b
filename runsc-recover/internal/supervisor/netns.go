package supervisor

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

const currentNetNS = "/proc/thread-self/ns/net"

// netPlan says which network namespace a container's supervisor lives in.
type netPlan struct {
	path string // join this one
	own  bool   // make a new one, held by the supervisor's being in it
}

// inNetNS runs f, which starts a process, in the planned namespace, so that
// the whole new process is in it from its first thread on: a running Go
// program can't move all its threads.
func inNetNS(plan netPlan, f func() error) error {
	if plan == (netPlan{}) {
		return f()
	}
	return onOwnThread(func() error {
		if err := enterNetNS(plan); err != nil {
			return err
		}
		return f()
	})
}

// onOwnThread runs f on a thread of its own and then puts that thread's network
// namespace back. It never ends the thread: gVisor starts a sandbox on whatever
// thread it is given, and the sandbox's parent-death signal would fire. A
// thread that can't be put back is kept for good instead. It is never the
// process's first thread, whose namespaces are shown as the process's.
func onOwnThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			defer runtime.UnlockOSThread()
			done <- onOwnThread(f) // cannot get this thread, which is held
			return
		}
		before, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			runtime.UnlockOSThread()
			done <- fmt.Errorf("open own network namespace: %w", err)
			return
		}
		err = f()
		restored := setNetNS(before)
		before.Close()
		done <- err
		if restored != nil {
			select {}
		}
		runtime.UnlockOSThread()
	}()
	return <-done
}

func enterNetNS(plan netPlan) error {
	if plan.own {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make network namespace: %w", err)
		}
		return raiseLoopback()
	}
	ns, err := os.Open(plan.path)
	if err != nil {
		return fmt.Errorf("open network namespace: %w", err)
	}
	defer ns.Close()
	return setNetNS(ns)
}

func setNetNS(ns *os.File) error {
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("join network namespace %s: %w", ns.Name(), err)
	}
	return nil
}

// raiseLoopback brings lo up: gVisor copies only interfaces that are.
func raiseLoopback() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open socket for loopback: %w", err)
	}
	defer unix.Close(s)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("name loopback: %w", err)
	}
	req.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, req); err != nil {
		return fmt.Errorf("bring loopback up: %w", err)
	}
	return nil
}
