package runsc

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/sentry/failure"
	"runsc-recover/sentry/wire"
	"runsc-recover/test/expect"
)

// connections is an agent with lists of connections: known is its checkpoint's,
// touched the answer to a reset.
type connections struct {
	known, touched string
	// got is the contents of the files that the agent was given to read, by verb.
	got chan string
}

func (c connections) respond(t *testing.T) func(wire.Request, []*os.File) *wire.Error {
	return func(req wire.Request, files []*os.File) *wire.Error {
		var err error
		switch req.Verb {
		case wire.VerbConnections:
			_, err = files[0].WriteString(c.known)
		case wire.VerbReset:
			c.got <- contents(t, files[0])
			_, err = files[1].WriteString(c.touched)
		case wire.VerbDrop:
			c.got <- contents(t, files[0])
		}
		if err != nil {
			t.Error(err)
		}
		return nil
	}
}

// The copy's list goes to the stopped sandbox, whose answer goes to the copy. A
// sandbox that has sent resets is kept for them to leave.
func TestTakeOver(t *testing.T) {
	for _, c := range []struct {
		name, touched string
		asked         []string // of the copy
	}{
		{"connections were used", "two and three", []string{"connections", "drop"}},
		{"no connection was used", "", []string{"connections"}},
	} {
		oldSide := connections{touched: c.touched, got: make(chan string, 1)}
		newSide := connections{known: "one and two", got: make(chan string, 1)}
		old, f := newFake(t, oldSide.respond(t)), newFake(t, newSide.respond(t))
		expect.Equal(t, c.name+": error", f.TakeOver(t.Context(), old.instance), nil)
		expect.Equal(t, c.name+": the stopped sandbox compares with", <-oldSide.got, "one and two")
		if !slices.Equal(f.asked(), c.asked) {
			t.Errorf("%s: the copy was asked %q", c.name, f.asked())
		}
		if c.touched != "" {
			expect.Equal(t, c.name+": the copy drops", <-newSide.got, c.touched)
		}
		expect.Equal(t, c.name+": the stopped sandbox is kept", time.Now().Before(old.keepUntil), c.touched != "")
		// Once known, the list isn't asked for again.
		f.TakeOver(t.Context(), old.instance)
		expect.Equal(t, c.name+": lists asked for", count(f.asked(), "connections"), 1)
	}
}

func count(all []string, one string) (n int) {
	for _, s := range all {
		if s == one {
			n++
		}
	}
	return n
}

// stranger is a sandbox of another driver.
type stranger struct{ sandbox.Sandbox }

// Whatever a sandbox of the two does, the other isn't harmed.
func TestTakeOverFails(t *testing.T) {
	refuse := func(verb wire.Verb) func(wire.Request, []*os.File) *wire.Error {
		return func(req wire.Request, _ []*os.File) *wire.Error {
			if req.Verb == verb {
				return &wire.Error{Code: wire.CodeState, Text: "no"}
			}
			return nil
		}
	}
	f := newFake(t, nil)
	if err := f.TakeOver(t.Context(), stranger{}); err == nil || len(f.asked()) > 0 {
		t.Errorf("from a stranger: %v, asked %q", err, f.asked())
	}

	f, old := newFake(t, refuse(wire.VerbConnections)), newFake(t, nil)
	if err := f.TakeOver(t.Context(), old.instance); err == nil || len(old.asked()) > 0 || f.known != nil {
		t.Errorf("a copy without a list: %v, asked %q", err, old.asked())
	}

	f, old = newFake(t, nil), newFake(t, refuse(wire.VerbReset))
	if err := f.TakeOver(t.Context(), old.instance); err == nil || count(f.asked(), "drop") > 0 || !old.keepUntil.IsZero() {
		t.Errorf("a stopped sandbox that refuses: %v, asked %q", err, f.asked())
	}

	f, old = newFake(t, nil), newFake(t, nil)
	old.Close()
	if err := f.TakeOver(t.Context(), old.instance); !errors.Is(err, sandbox.ErrGone) {
		t.Errorf("a stopped sandbox that is gone: %v", err)
	}

	f, old = newFake(t, nil), newFake(t, nil)
	f.c.Sandbox = nil // as gVisor's Destroy leaves it
	if err := f.TakeOver(t.Context(), old.instance); !errors.Is(err, sandbox.ErrGone) || len(old.asked()) > 0 {
		t.Errorf("a copy that was destroyed: %v, asked %q", err, old.asked())
	}

	mute := make(chan struct{})
	f, old = newFake(t, nil), newFake(t, func(wire.Request, []*os.File) *wire.Error { <-mute; return nil })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := f.TakeOver(ctx, old.instance); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a stopped sandbox that is silent: %v", err)
	}
	close(mute)
}

// Every connection of a sandbox is reset when none is known elsewhere.
func TestHangup(t *testing.T) {
	side := connections{touched: "all", got: make(chan string, 1)}
	f := newFake(t, side.respond(t))
	expect.Equal(t, "error", f.Hangup(t.Context()), nil)
	expect.Equal(t, "known", <-side.got, "")
	expect.Equal(t, "kept", time.Now().Before(f.keepUntil), true)
}

// delivery is frames that a copy was given at an interface.
type delivery struct{ link, frames string }

// The copy runs before it is given the frames that arrived: those that the dead
// and the stopped sandbox left in their queues, and those that the stopped
// sandbox kept, which come in a file that isn't read here.
func TestReleaseDeliversFrames(t *testing.T) {
	kept := "not even frames"
	old := newFake(t, func(req wire.Request, files []*os.File) *wire.Error {
		if req.Verb != wire.VerbKept {
			t.Errorf("the stopped sandbox was asked %s", req.Verb)
		} else if req.Link == "eth0" && kept != "" {
			_, _ = files[0].WriteString(kept)
			kept = "" // each frame once
		}
		return nil
	})
	delivered := make(chan delivery, 16)
	var info *failure.Info
	f := newFake(t, func(req wire.Request, files []*os.File) *wire.Error {
		switch req.Verb {
		case wire.VerbRelease:
			info = req.Info
			expect.Equal(t, "frames before the release", len(delivered), 0)
		case wire.VerbDeliver:
			delivered <- delivery{req.Link, contents(t, files[0])}
		}
		return nil
	})
	f.onLinks("eth0", "eth1")
	f.stopped = old.instance
	addFrame(t, old, "eth1", "left by the stopped")
	died := newFake(t, nil)
	addFrame(t, died, "eth0", "left by the dead")
	f.dead.Keep(died.queues.Move())

	err := f.Release(t.Context(), sandbox.Release{Info: &failure.Info{Attempt: 2}})
	expect.Equal(t, "error", err, nil)
	expect.Equal(t, "attempt", info.Attempt, 2)
	expect.Equal(t, "serves the network", f.serves.Load(), true)
	expect.Equal(t, "the sandbox that was taken over from", f.stopped, nil)
	if f.dead.Take() != nil {
		t.Error("the dead sandbox's queues are kept")
	}
	want := map[delivery]bool{
		{"eth0", "not even frames"}:                                            true,
		{"eth0", string(wire.AppendFrame(nil, []byte("left by the dead")))}:    true,
		{"eth1", string(wire.AppendFrame(nil, []byte("left by the stopped")))}: true,
	}
	for range want {
		if d := <-delivered; !want[d] {
			t.Errorf("delivered %q at %s", d.frames, d.link)
		}
	}
	old.Close() // ends the late delivery
}

// addFrame leaves a frame in the queue of a sandbox's interface.
func addFrame(t *testing.T, f *fakeSandbox, link, text string) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[1])
	t.Cleanup(func() { unix.Close(fds[0]) })
	if err := f.queues.Add(link, fds[1]); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Write(fds[0], []byte(text)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.queues.Close)
}

// A copy that isn't released doesn't serve the network, and a release isn't lost
// with the frames of a sandbox that is gone.
func TestReleaseFails(t *testing.T) {
	f := newFake(t, func(wire.Request, []*os.File) *wire.Error { return &wire.Error{Code: wire.CodeState, Text: "no"} })
	if err := f.Release(t.Context(), sandbox.Release{}); err == nil || f.serves.Load() {
		t.Errorf("a copy that refuses: %v, serves %t", err, f.serves.Load())
	}

	f, old := newFake(t, nil), newFake(t, nil)
	old.Close()
	f.onLinks("eth0")
	f.stopped = old.instance
	if err := f.Release(t.Context(), sandbox.Release{}); err != nil || !f.serves.Load() {
		t.Errorf("after a sandbox that is gone: %v, serves %t", err, f.serves.Load())
	}
}
