package lowprio

import (
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"runsc-recover/test/expect"
)

// priority is the calling thread's nice value.
func priority(t *testing.T) int {
	t.Helper()
	n, err := unix.Getpriority(unix.PRIO_PROCESS, unix.Gettid())
	if err != nil {
		t.Fatal(err)
	}
	return 20 - n // the kernel's answer counts the other way
}

// All functions run on one thread, which yields to others.
func TestOneThreadOfLowPriority(t *testing.T) {
	before := priority(t)
	thread := New()
	defer thread.End()
	var first, second, got int
	thread.Do(func() { first, got = unix.Gettid(), priority(t) })
	thread.Do(func() { second = unix.Gettid() })
	expect.Equal(t, "priority", got, min(before+nice, 19))
	expect.Equal(t, "thread", second, first)
	expect.Equal(t, "caller's priority", priority(t), before)
}

// Functions of many callers run one at a time, and none is lost when the thread
// ends meanwhile.
func TestConcurrentCallers(t *testing.T) {
	thread := New()
	var wg sync.WaitGroup
	count := 0
	for range 50 {
		wg.Go(func() { thread.Do(func() { count++ }) }) // the race detector sees two at once
	}
	wg.Wait()
	expect.Equal(t, "calls", count, 50)
	thread.End()
	thread.End()
	ran := false
	thread.Do(func() { ran = true })
	expect.Equal(t, "call after the end", ran, true)
}

// After the end a call runs at the caller's priority.
func TestCallsAfterTheEnd(t *testing.T) {
	before := priority(t)
	thread := New()
	thread.End()
	var got int
	for range 100 { // the thread may take a last call
		thread.Do(func() { got = priority(t) })
	}
	expect.Equal(t, "priority", got, before)
}
