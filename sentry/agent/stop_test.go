package agent

import (
	"runtime"
	"sync/atomic"
	"testing"

	"gvisor.dev/gvisor/pkg/sentry/kernel"

	"runsc-recover/sentry/detect"
	"runsc-recover/sentry/failure"
	"runsc-recover/sentry/wire"
	"runsc-recover/test/expect"
)

// found is a detector that finds a failure with a key.
func found(key uint64) detect.Look {
	return func(*kernel.Kernel, detect.Causes) (failure.State, bool) {
		return failure.State{Kind: failure.Hang, Key: key}, true
	}
}

// TestFirstFailureIsReported: failures that come after it are its own.
func TestFirstFailureIsReported(t *testing.T) {
	for _, c := range []struct {
		name string
		fail func(a *Agent, f detect.Look)
	}{
		{"on a task", (*Agent).FailOnTask},
		{"off a task", (*Agent).FailOffTask},
	} {
		s := newSandbox(t)
		messages := s.listen()
		none := func(*kernel.Kernel, detect.Causes) (failure.State, bool) { return failure.State{}, false }
		c.fail(s.Agent, none)
		expect.Equal(t, c.name+": fails without a failure", s.failing, false)
		c.fail(s.Agent, found(1))
		c.fail(s.Agent, found(2))
		m := <-messages
		if m.Failure == nil || m.Failure.Key != 1 || m.Failure.Time.IsZero() {
			t.Errorf("%s: %+v is sent", c.name, m)
		}
		expect.Equal(t, c.name+": the kernel stands still", s.k.IsPaused(), true)
		if err := s.refuse(); err != nil {
			t.Fatal(err)
		}
		expect.Equal(t, c.name+": it stands still after a refusal", s.k.IsPaused(), false)
		c.fail(s.Agent, found(3))
		expect.Equal(t, c.name+": the next failure", (<-messages).Failure.Key, 3)
	}
}

// TestDetectorsLookAtCauses: a detector is told which causes count, and isn't
// asked before there is a kernel.
func TestDetectorsLookAtCauses(t *testing.T) {
	newAgent().FailOnTask(func(*kernel.Kernel, detect.Causes) (failure.State, bool) {
		t.Error("a detector is asked before there is a kernel")
		return failure.State{}, false
	})
	s := newSandbox(t)
	s.opts.Signal = false
	asked := false
	s.FailOnTask(func(k *kernel.Kernel, on detect.Causes) (failure.State, bool) {
		asked = true
		expect.Equal(t, "kernel", k == s.k, true)
		expect.Equal(t, "causes", on, detect.Causes{Report: true})
		return failure.State{}, false
	})
	expect.Equal(t, "asked", asked, true)
}

// TestFailureWaitsForCheckpoint: a failure off a task doesn't begin in the pause
// of a checkpoint.
func TestFailureWaitsForCheckpoint(t *testing.T) {
	s := newSandbox(t)
	var over atomic.Bool
	asked := make(chan bool)
	s.saveMu.Lock()
	go s.FailOffTask(func(*kernel.Kernel, detect.Causes) (failure.State, bool) {
		asked <- over.Load()
		return failure.State{}, false
	})
	for range 1000 {
		runtime.Gosched()
	}
	over.Store(true)
	s.saveMu.Unlock()
	expect.Equal(t, "the pause is over", <-asked, true)
}

// TestFailRequest: an operator's failure has a key of its own, and only one
// failure is at a time.
func TestFailRequest(t *testing.T) {
	s := newSandbox(t)
	messages := s.listen()
	operator := failure.State{Kind: failure.Operator, Code: 3, Message: "by hand"}
	if err := s.fail(operator); err != nil {
		t.Fatal(err)
	}
	f := (<-messages).Failure
	expect.Equal(t, "key", f.Key, failure.KeyOfReport(3, []byte("by hand"), ""))
	expect.Equal(t, "message", f.Message, "by hand")
	if err := s.fail(operator); err == nil || err.Code != wire.CodeFailing {
		t.Errorf("a second failure: %v", err)
	}
	if err := newAgent().fail(operator); err == nil || err.Code != wire.CodeState {
		t.Errorf("a failure before there is a kernel: %v", err)
	}
	if err := s.stoppedForSave(); err != errFailing {
		t.Errorf("a checkpoint of a sandbox that fails: %v", err)
	}
}
