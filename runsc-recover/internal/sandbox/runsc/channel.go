package runsc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"gvisor.dev/gvisor/pkg/unet"

	"runsc-recover/checkpoint"
	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/sentry/wire"
)

// sendRetry is how soon a request is sent again for which there was no room.
const sendRetry = 5 * time.Millisecond

// channel is the supervisor's end of the socket to the agent, which is as
// trustworthy as the program in the sandbox. Methods are safe for concurrent use.
type channel struct {
	sock *unet.Socket

	mu sync.Mutex
	// The following are guarded by mu.

	nextID  uint64
	waiting map[uint64]chan wire.Reply
	closed  bool
}

// newChannel returns a channel and the agent's end of it, which the caller
// owns.
func newChannel() (*channel, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make the agent's socket: %w", err)
	}
	agentEnd := os.NewFile(uintptr(fds[1]), "recover-agent")
	for _, fd := range fds {
		// A packet must fit whole. The default is larger already on most
		// hosts, so failing here is no error.
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 2*wire.MaxMessage)
	}
	sock, err := unet.NewSocket(fds[0])
	if err != nil {
		unix.Close(fds[0])
		agentEnd.Close()
		return nil, nil, fmt.Errorf("adopt the agent's socket: %w", err)
	}
	return &channel{sock: sock, waiting: make(map[uint64]chan wire.Reply)}, agentEnd, nil
}

// call sends a request and waits for its reply. Replies without a call that waits
// for them are dropped. Errors: sandbox.ErrGone, *wire.Error, ctx's.
func (c *channel) call(ctx context.Context, req wire.Request, files ...*os.File) (wire.Reply, error) {
	reply, err := c.expect(&req)
	if err != nil {
		return wire.Reply{}, err
	}
	defer c.claim(req.ID)

	switch err := c.send(ctx, req, files); {
	case err != nil && ctx.Err() != nil:
		return wire.Reply{}, fmt.Errorf("%s: sandbox takes no request: %w", req.Verb, ctx.Err())
	case err != nil:
		return wire.Reply{}, fmt.Errorf("send %s: %w: %w", req.Verb, sandbox.ErrGone, err)
	}
	select {
	case r, ok := <-reply:
		if !ok {
			return wire.Reply{}, fmt.Errorf("%s: %w", req.Verb, sandbox.ErrGone)
		}
		if r.Err != nil {
			return wire.Reply{}, fmt.Errorf("%s: %w", req.Verb, r.Err)
		}
		return r, nil
	case <-ctx.Done():
		return wire.Reply{}, fmt.Errorf("%s: sandbox doesn't answer: %w", req.Verb, ctx.Err())
	}
}

// expect gives a request its id, and returns the channel on which its reply will
// come. The channel has room for it, and is closed when the sandbox is gone.
func (c *channel) expect(req *wire.Request) (<-chan wire.Reply, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, sandbox.ErrGone
	}
	reply := make(chan wire.Reply, 1)
	c.nextID++
	req.ID = c.nextID
	c.waiting[req.ID] = reply
	return reply, nil
}

// send sends a request. While the sandbox leaves requests unread, there may be no room
// for another: send waits for that without a thread of its own, and no longer than ctx.
func (c *channel) send(ctx context.Context, req wire.Request, files []*os.File) error {
	b, err := wire.Encode(req)
	if err != nil {
		return err
	}
	w := c.sock.Writer(false)
	if len(files) > 0 {
		nums := make([]int, len(files))
		for i, f := range files {
			nums[i] = int(f.Fd())
		}
		w.PackFDs(nums...)
	}
	for {
		_, err = w.WriteVec([][]byte{b})
		if !errors.Is(err, unix.EAGAIN) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(sendRetry):
		}
	}
}

// serve hands the agent's replies to the waiting calls, and its other messages to
// hear, one by one, until the sandbox hangs up: io.EOF. A malformed packet ends
// the conversation, too: an agent that sends it was taken over. Descriptors that
// come with a packet are not received.
func (c *channel) serve(hear func(wire.Message)) error {
	defer c.close()
	buf := make([]byte, wire.MaxMessage+1)
	for {
		n, err := c.sock.Read(buf)
		if err != nil {
			return err
		}
		m, err := wire.DecodeMessage(buf[:n])
		if err != nil {
			return fmt.Errorf("agent: %w", err)
		}
		if m.Reply == nil {
			hear(m)
			continue
		}
		if waiting := c.claim(m.Reply.ID); waiting != nil {
			waiting <- *m.Reply
		}
	}
}

// claim returns the channel on which a call waits for the reply of that id, for
// one reply; nil when there is none.
func (c *channel) claim(id uint64) chan<- wire.Reply {
	c.mu.Lock()
	defer c.mu.Unlock()
	waiting := c.waiting[id]
	delete(c.waiting, id)
	return waiting
}

// close ends the conversation. It may be called more than once.
func (c *channel) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.closed = true
	for id, reply := range c.waiting {
		close(reply)
		delete(c.waiting, id)
	}
	c.sock.Close()
}

// translate maps the agent's error codes to the supervisor's sentinels.
func translate(err error) error {
	var we *wire.Error
	if !errors.As(err, &we) {
		return err
	}
	switch we.Code {
	case wire.CodeUnsavable:
		return fmt.Errorf("%w: %w", sandbox.ErrUnsavable, err)
	case wire.CodeFailing:
		return fmt.Errorf("%w: %w", sandbox.ErrFailing, err)
	case wire.CodeFull:
		return fmt.Errorf("%w: %w", checkpoint.ErrFull, err)
	}
	return err
}
