package supervisor

import "runtime"

// LastingThread runs functions, one at a time, on one OS thread that lives as
// long as the process. Sandboxes are created on it: their parent-death signal
// fires when the thread that created them ends, not the process.
type LastingThread struct {
	calls chan func()
}

// NewLastingThread starts the thread.
func NewLastingThread() *LastingThread {
	t := &LastingThread{calls: make(chan func())}
	go func() {
		runtime.LockOSThread() // never unlocked
		for f := range t.calls {
			f()
		}
	}()
	return t
}

// Do runs f on the thread and returns when f has.
func (t *LastingThread) Do(f func()) {
	done := make(chan struct{})
	t.calls <- func() {
		defer close(done)
		f()
	}
	<-done
}
