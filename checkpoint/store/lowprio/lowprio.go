// Package lowprio runs functions on an OS thread whose priority yields to that
// of the program.
//
// It must not know the functions. The package has no locks. Each Thread is a
// goroutine, locked to its OS thread, until End.
package lowprio

import (
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// nice is the priority: low, but not so low that a program that never rests
// keeps its checkpoints from being published.
const nice = 5

// Thread is a thread of low priority. The OS thread outlives it: processes may
// have been started on that thread before, with a parent-death signal.
type Thread struct {
	calls chan func()
	ended chan struct{}
	once  sync.Once
}

// New starts a thread. The caller ends it.
func New() *Thread {
	t := &Thread{calls: make(chan func()), ended: make(chan struct{})}
	go t.serve()
	return t
}

func (t *Thread) serve() {
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
		case f := <-t.calls:
			f()
		case <-t.ended:
			return
		}
	}
}

// Do runs f on the thread, after the functions of earlier calls, and returns
// when f has. After End f runs on the caller's thread. It is safe for
// concurrent use.
func (t *Thread) Do(f func()) {
	done := make(chan struct{})
	select {
	case t.calls <- func() { defer close(done); f() }:
		<-done
	case <-t.ended:
		f()
	}
}

// End ends the thread once a function that it runs has returned. It doesn't
// wait for that, and a second call does nothing.
func (t *Thread) End() { t.once.Do(func() { close(t.ended) }) }
