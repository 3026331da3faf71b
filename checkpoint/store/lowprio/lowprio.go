// Package lowprio is a thread whose work yields to the program's.
//
// It must not know the work. It has no locks; each Thread is a goroutine, until
// End.
package lowprio

import (
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// nice is the priority of what is done beside the program: low, but not
// so low that a program that never rests keeps a checkpoint from being kept.
const nice = 5

// aside is a thread that yields to the program's. It lasts as long as the
// store, and doesn't end then either: processes may have been started on it
// before it was ours, with a parent-death signal.
type Thread struct {
	calls chan func()
	ended chan struct{}
	once  sync.Once
}

func New() *Thread {
	a := &Thread{calls: make(chan func()), ended: make(chan struct{})}
	go a.serve()
	return a
}

func (a *Thread) serve() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// Where the priority can't be set, the thread merely doesn't yield, and
	// where it can't be set back the process is as good as over.
	before, err := unix.Getpriority(unix.PRIO_PROCESS, unix.Gettid())
	if err == nil {
		_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), 20-before+nice)
		defer func() { _ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), 20-before) }()
	}
	for {
		select {
		case f := <-a.calls:
			f()
		case <-a.ended:
			return
		}
	}
}

// Do runs f on the thread, or on the caller's when that has been let go.
func (a *Thread) Do(f func()) {
	done := make(chan struct{})
	select {
	case a.calls <- func() { defer close(done); f() }:
		<-done
	case <-a.ended:
		f()
	}
}

// End lets the thread go once it has nothing to do.
func (a *Thread) End() { a.once.Do(func() { close(a.ended) }) }
