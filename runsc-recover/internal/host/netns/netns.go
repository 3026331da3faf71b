// Package netns is the container's network namespace on the host: entering it,
// the claims by which containers that share one find each other, and the
// addresses that a sandbox takes off its interfaces and that go back later.
//
// It must not know sandboxes or the spec: a Plan says which namespace is meant.
// A function that reads or changes a namespace means the calling thread's.
//
// Locks: none; Claims belong to one goroutine. Goroutines: OnOwnThread runs its
// argument on one, and waits for it.
package netns

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Current is the path of the calling thread's network namespace.
const Current = "/proc/thread-self/ns/net"

// Plan says which network namespace a container's supervisor lives in.
type Plan struct {
	Path string // join this one
	Own  bool   // make a new one, held by the supervisor's being in it
}

// IsCurrent reports whether the plan's namespace is the calling thread's. Errors:
// os.ErrNotExist.
func (p Plan) IsCurrent() (bool, error) {
	if p.Path == "" {
		return !p.Own, nil
	}
	theirs, err := os.Stat(p.Path)
	if err != nil {
		return false, err
	}
	ours, err := os.Stat(Current)
	if err != nil {
		return false, fmt.Errorf("look at own network namespace: %w", err)
	}
	return os.SameFile(ours, theirs), nil
}

// In runs f, which starts a process, in the planned namespace, so that
// the whole new process is in it from its first thread on: a running Go
// program can't move all its threads.
func In(plan Plan, f func() error) error {
	if plan == (Plan{}) {
		return f()
	}
	return OnOwnThread(func() error {
		if err := enter(plan); err != nil {
			return err
		}
		return f()
	})
}

// OnOwnThread runs f on a thread of its own and then puts that thread's network
// namespace back. It never ends the thread: gVisor starts a sandbox on whatever
// thread it is given, and the sandbox's parent-death signal would fire. A
// thread that can't be put back is kept for good instead. It is never the
// process's first thread, whose namespaces are shown as the process's.
func OnOwnThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			defer runtime.UnlockOSThread()
			done <- OnOwnThread(f) // another thread: this one is held
			return
		}
		before, err := os.Open(Current)
		if err != nil {
			runtime.UnlockOSThread()
			done <- fmt.Errorf("open own network namespace: %w", err)
			return
		}
		err = f()
		restored := Set(before)
		before.Close()
		done <- err
		if restored != nil {
			select {}
		}
		runtime.UnlockOSThread()
	}()
	return <-done
}

func enter(plan Plan) error {
	if plan.Own {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make network namespace: %w", err)
		}
		return raiseLoopback()
	}
	ns, err := os.Open(plan.Path)
	if err != nil {
		return fmt.Errorf("open network namespace: %w", err)
	}
	defer ns.Close()
	return Set(ns)
}

// Set moves the calling thread, which is locked to its goroutine, into a network
// namespace.
func Set(ns *os.File) error {
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
