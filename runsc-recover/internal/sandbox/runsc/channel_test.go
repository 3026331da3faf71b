package runsc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/memfile"
	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/sentry/wire"
	"runsc-recover/test/expect"
)

// refuse is a request without contents.
var refuse = wire.Request{Verb: wire.VerbRefuse}

// serving serves a channel until it ends, and returns the result then.
func serving(ch *channel, hear func(wire.Message)) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- ch.serve(hear) }()
	return ended
}

func noMessage(t *testing.T) func(wire.Message) {
	return func(m wire.Message) { t.Errorf("unexpected message %+v", m) }
}

// waitingCalls is the number of calls without a reply.
func waitingCalls(c *channel) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.waiting)
}

// Calls at the same time get their own replies, whatever the order of those.
func TestCallsAndReplies(t *testing.T) {
	ch, p := newPeer(t)
	serving(ch, noMessage(t))
	const calls = 20
	errs := make(chan error, calls)
	for i := range calls {
		go func() {
			_, err := ch.call(t.Context(), wire.Request{Verb: wire.VerbMemory, Memory: uint64(i + 1)})
			var we *wire.Error
			if !errors.As(err, &we) || we.Text != fmt.Sprint(i+1) {
				err = fmt.Errorf("call %d: reply %w", i+1, err)
			} else {
				err = nil
			}
			errs <- err
		}()
	}
	var reqs []wire.Request
	ids := make(map[uint64]bool)
	for range calls {
		req, _, _ := p.receive()
		reqs, ids[req.ID] = append(reqs, req), true
	}
	expect.Equal(t, "ids", len(ids), calls)
	for i := range reqs {
		req := reqs[len(reqs)-1-i]
		p.reply(wire.Reply{ID: req.ID, Err: &wire.Error{Code: wire.CodeInternal, Text: fmt.Sprint(req.Memory)}})
	}
	for range calls {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	expect.Equal(t, "calls that wait", waitingCalls(ch), 0)
}

// A packet that no agent sends ends the conversation with an error, and calls
// with it.
func TestPacketsThatEndTheConversation(t *testing.T) {
	for name, packet := range map[string]string{
		"garbage":                 "\x00\xff garbage",
		"no JSON":                 "{",
		"no member":               "{}",
		"another JSON value":      "7",
		"two members":             `{"resolved":{},"reply":{"id":1}}`,
		"an unknown member":       `{"resolved":{},"format":"c:"}`,
		"two messages":            `{"resolved":{}}{"resolved":{}}`,
		"deep nesting":            strings.Repeat("[", 100<<10),
		"a number out of range":   `{"reply":{"id":99999999999999999999999}}`,
		"a negative id":           `{"reply":{"id":-1}}`,
		"a byte too many":         fmt.Sprintf(`%-*s`, wire.MaxMessage+1, `{"resolved":{}}`),
		"a packet too large":      fmt.Sprintf(`%-*s`, 2*wire.MaxMessage, `{"resolved":{}}`),
		"an empty packet":         "",
		"an error text too large": `{"reply":{"id":1,"err":{"code":"internal","text":"` + strings.Repeat("x", wire.MaxErrorText+1) + `"}}}`,
		"a failure of no kind":    `{"failure":{"kind":0,"key":1}}`,
		"a query without address": `{"query":{"port":53,"data":"AAAA"}}`,
	} {
		ch, p := newPeer(t)
		ended := serving(ch, noMessage(t))
		called := make(chan error, 1)
		go func() {
			_, err := ch.call(t.Context(), refuse)
			called <- err
		}()
		p.receive()
		p.raw(packet)
		if err := <-ended; err == nil {
			t.Errorf("%s: the conversation ended without an error", name)
		}
		expect.Equal(t, name+": the call's error", errors.Is(<-called, sandbox.ErrGone), true)
		_, err := ch.call(t.Context(), refuse)
		expect.Equal(t, name+": a later call's error", errors.Is(err, sandbox.ErrGone), true)
	}
}

// Descriptors that an agent sends stay out of this process, in any number.
func TestDescriptorsAreNotReceived(t *testing.T) {
	ch, p := newPeer(t)
	heard := make(chan wire.Message)
	serving(ch, func(m wire.Message) { heard <- m })
	f, err := memfile.New("sandbox's")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, n := range []int{1, 2, 253} { // 253 is the kernel's limit
		fds := make([]int, n)
		for i := range fds {
			fds[i] = int(f.Fd())
		}
		p.raw(`{"resolved":{}}`, fds...)
		<-heard
		expect.Equal(t, fmt.Sprintf("after %d: descriptors", n), descriptors(t, f), 1)
	}
}

// descriptors is the number of this process's descriptors of a file.
func descriptors(t *testing.T, f *os.File) (n int) {
	t.Helper()
	want, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	open, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range open {
		if got, err := os.Stat(path); err == nil && os.SameFile(want, got) {
			n++
		}
	}
	return n
}

// Replies to calls that were never made, are over, or were answered already
// reach nobody and hold nothing up.
func TestRepliesToNobody(t *testing.T) {
	ch, p := newPeer(t)
	serving(ch, noMessage(t))
	for _, id := range []uint64{0, 7, 1 << 63} {
		p.reply(wire.Reply{ID: id})
	}
	ctx, cancel := context.WithCancel(t.Context())
	gaveUp := make(chan error)
	go func() {
		_, err := ch.call(ctx, refuse)
		gaveUp <- err
	}()
	late, _, _ := p.receive()
	cancel()
	expect.Equal(t, "error of a call that gave up", errors.Is(<-gaveUp, context.Canceled), true)
	p.reply(wire.Reply{ID: late.ID})

	answered := make(chan error)
	go func() {
		_, err := ch.call(t.Context(), refuse)
		answered <- err
	}()
	req, _, _ := p.receive()
	for range 100 {
		p.reply(wire.Reply{ID: req.ID})
	}
	expect.Equal(t, "error of a call that is answered often", <-answered, nil)
	expect.Equal(t, "calls that wait", waitingCalls(ch), 0)
}

// A sandbox that takes requests and never answers holds no call beyond its
// deadline.
func TestSilentAgent(t *testing.T) {
	ch, p := newPeer(t)
	serving(ch, noMessage(t))
	go func() {
		for {
			if _, _, ok := p.receive(); !ok {
				return
			}
		}
	}()
	for range 10 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		_, err := ch.call(ctx, refuse)
		cancel()
		expect.Equal(t, "error", errors.Is(err, context.DeadlineExceeded), true)
	}
	ch.close()
}

// An agent that floods the supervisor is held back by the socket: a message is
// taken when the one before it was handled. All arrive, in their order.
func TestFlood(t *testing.T) {
	ch, p := newPeer(t)
	taken, release := make(chan int32), make(chan struct{})
	serving(ch, func(m wire.Message) {
		<-release
		taken <- m.Checkpoint.TID
	})
	sent := flood(t, p)
	if sent > 1<<16 {
		t.Errorf("%d messages wait", sent)
	}
	close(release)
	for want := range sent {
		if got := <-taken; got != want {
			t.Fatalf("message %d came as number %d", got, want)
		}
	}
	answered := make(chan error)
	go func() {
		_, err := ch.call(t.Context(), refuse)
		answered <- err
	}()
	req, _, _ := p.receive()
	p.reply(wire.Reply{ID: req.ID})
	expect.Equal(t, "a call after the flood", <-answered, nil)
}

// flood sends checkpoint requests by number until the socket takes no more, and
// returns how many it took.
func flood(t *testing.T, p *peer) (sent int32) {
	t.Helper()
	raw, err := p.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Control(func(fd uintptr) {
		for {
			b, err := wire.Encode(wire.Message{Checkpoint: &wire.CheckpointRequest{TID: sent}})
			if err != nil {
				t.Error(err)
			}
			if err := unix.Sendmsg(int(fd), b, nil, nil, unix.MSG_DONTWAIT); err != nil {
				return
			}
			sent++
		}
	})
	if err != nil || sent == 0 {
		t.Fatalf("sent %d, %v", sent, err)
	}
	return sent
}

// A sandbox that leaves requests unread holds no call beyond its deadline.
func TestUnreadRequestsAreBounded(t *testing.T) {
	ch, p := newPeer(t)
	serving(ch, noMessage(t))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	const calls = 10000 // more than the socket takes
	errs := make(chan error, calls)
	for range calls {
		go func() {
			_, err := ch.call(ctx, refuse)
			errs <- err
		}()
	}
	for range calls {
		if err := <-errs; !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, sandbox.ErrGone) {
			t.Fatalf("a call returns %v", err)
		}
	}
	expect.Equal(t, "calls that wait", waitingCalls(ch), 0)
	unread := 0
	for p.SetReadDeadline(time.Now().Add(time.Second)); unread < calls; unread++ {
		if _, _, ok := p.receive(); !ok {
			break
		}
		p.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	}
	if unread == 0 || unread == calls {
		t.Errorf("%d requests of %d were sent", unread, calls)
	}
}

// The sandbox's death ends calls and the conversation.
func TestDeath(t *testing.T) {
	ch, p := newPeer(t)
	ended := serving(ch, noMessage(t))
	called := make(chan error)
	go func() {
		_, err := ch.call(t.Context(), refuse)
		called <- err
	}()
	p.receive()
	p.Close()
	expect.Equal(t, "error of the conversation", errors.Is(<-ended, io.EOF), true)
	expect.Equal(t, "error of the call", errors.Is(<-called, sandbox.ErrGone), true)
	_, err := ch.call(t.Context(), refuse)
	expect.Equal(t, "error of a later call", errors.Is(err, sandbox.ErrGone), true)
	ch.close()
	ch.close()
}

// A request that is too large isn't sent.
func TestRequestsAreBounded(t *testing.T) {
	ch, _ := newPeer(t)
	_, err := ch.call(t.Context(), wire.Request{Verb: wire.VerbKept, Link: strings.Repeat("x", wire.MaxMessage)})
	expect.Equal(t, "error", errors.Is(err, wire.ErrTooLarge), true)
	expect.Equal(t, "calls that wait", waitingCalls(ch), 0)
}

func TestCodesAreTranslated(t *testing.T) {
	for code, want := range map[wire.Code]error{
		wire.CodeUnsavable: sandbox.ErrUnsavable,
		wire.CodeFailing:   sandbox.ErrFailing,
		wire.CodeFull:      checkpoint.ErrFull,
	} {
		err := translate(fmt.Errorf("checkpoint: %w", &wire.Error{Code: code, Text: "a reason"}))
		expect.Equal(t, string(code), errors.Is(err, want), true)
		expect.Equal(t, string(code)+": text", strings.Contains(err.Error(), "a reason"), true)
	}
	for _, err := range []error{nil, sandbox.ErrGone, &wire.Error{Code: "made up", Text: "x"}, &wire.Error{Code: wire.CodeState}} {
		expect.Equal(t, "others stay", translate(err), err)
	}
}
