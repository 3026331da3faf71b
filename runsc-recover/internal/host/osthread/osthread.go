// Package osthread runs functions on one OS thread that outlives them, for
// effects that the kernel ties to a thread: parent-death signals, namespaces.
//
// It must not know the functions' purpose.
//
// Locks: none. Goroutines: New starts one, which is locked to its thread and lasts
// as long as the process.
package osthread

import "runtime"

// Thread runs functions, one at a time, on one OS thread that lives as
// long as the process. Sandboxes are created on it: their parent-death signal
// fires when the thread that created them ends, not the process.
type Thread struct {
	calls chan func()
}

// New starts the thread.
func New() *Thread {
	t := &Thread{calls: make(chan func())}
	go func() {
		runtime.LockOSThread() // never unlocked
		for f := range t.calls {
			f()
		}
	}()
	return t
}

// NewServed returns a Thread without a thread: a goroutine that calls Serve lends
// its own.
func NewServed() *Thread { return &Thread{calls: make(chan func())} }

// Serve runs the functions given to Do on the calling goroutine's thread until
// done is closed.
//
// Preconditions: the goroutine is locked to its thread; t comes from NewServed.
func (t *Thread) Serve(done <-chan struct{}) {
	for {
		select {
		case f := <-t.calls:
			f()
		case <-done:
			return
		}
	}
}

// Do runs f on the thread, after the functions given before, and returns when f
// has returned.
func (t *Thread) Do(f func()) {
	done := make(chan struct{})
	t.calls <- func() {
		defer close(done)
		f()
	}
	<-done
}
