package engines

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"runsc-recover/test/harness"
)

// patience is how long a connection may be silent. A connection that is neither
// answered nor reset by then was left hanging.
const patience = 15 * time.Second

// tally counts connections by their fate.
type tally struct {
	survived, reset, hanging, refused int
	answers                           int
	silence                           time.Duration // the longest without an answer
}

// crowd is clients of one server.
type crowd struct {
	mu     sync.Mutex
	counts tally
	others []error // none of the above
}

func (c *crowd) ended(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil:
		c.counts.survived++
	case errors.Is(err, unix.ECONNREFUSED):
		c.counts.refused++
	case errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE):
		c.counts.reset++
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		c.counts.hanging++
	default:
		c.others = append(c.others, err)
	}
}

func (c *crowd) answered(since time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts.answers++
	c.counts.silence = max(c.counts.silence, time.Since(since))
}

func (c *crowd) answers() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts.answers
}

// talk exchanges lines until told to stop; the last one shows whether the
// connection goes on.
func (c *crowd) talk(conn net.Conn, stop <-chan struct{}) {
	for {
		began := time.Now()
		err := echo(conn, patience)
		if err == nil {
			c.answered(began)
		}
		select {
		case <-stop:
			c.ended(err)
			return
		case <-time.After(5 * time.Millisecond):
		}
		if err != nil {
			c.ended(err)
			return
		}
	}
}

// knock makes new connections, one after the other, until told to stop.
func (c *crowd) knock(w *world, network, address string, stop <-chan struct{}) {
	for {
		began := time.Now()
		err := exchange(w, network, address, patience)
		if err != nil {
			c.ended(err)
		} else {
			c.answered(began)
		}
		select {
		case <-stop:
			return
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// testTraffic rolls a server back under fifty connections: those that say
// nothing survive, those that are busy are reset at once, and new ones are
// answered, never refused.
func testTraffic(t *testing.T, e *engine, network string, address func(inspected) string) {
	const each = 25
	c := e.server(t, "-p", "7002:7000")
	to := address(c.inspect(t))
	dial := func() net.Conn {
		conn, err := e.world.dial(t.Context(), network, to)
		must(t, err)
		must(t, echo(conn, patience))
		return conn
	}
	var silent, busy []net.Conn
	for range each {
		silent, busy = append(silent, dial()), append(busy, dial())
	}
	c.checkpoint(t)

	var talkers, knockers crowd
	stop := make(chan struct{})
	var running sync.WaitGroup
	for _, conn := range busy {
		running.Go(func() { talkers.talk(conn, stop) })
	}
	for range 3 {
		running.Go(func() { knockers.knock(e.world, network, to, stop) })
	}
	c.checkpoint(t) // with the busy ones in the middle of something
	seen := talkers.answers()
	harness.Until(t, 10*time.Second, "traffic after the checkpoint", func() (bool, string) {
		return talkers.answers() > seen+4*each, "not yet"
	})
	c.do(t, "kill", "-s", "USR1")
	c.says(t, "told 7", 1)
	close(stop)
	running.Wait()

	var quiet crowd
	for _, conn := range silent {
		quiet.ended(echo(conn, patience))
	}
	for _, conn := range slices.Concat(silent, busy) {
		conn.Close()
	}
	t.Logf("silent: %+v; busy: %+v; new: %+v", quiet.counts, talkers.counts, knockers.counts)
	if quiet.counts.survived != each || len(quiet.others) > 0 {
		t.Errorf("of %d silent connections: %+v %v", each, quiet.counts, quiet.others)
	}
	if talkers.counts.reset != each || len(talkers.others) > 0 {
		t.Errorf("of %d busy connections: %+v %v", each, talkers.counts, talkers.others)
	}
	if n := knockers.counts; n.refused > 0 || n.hanging > 0 || len(knockers.others) > 0 {
		t.Errorf("new connections: %+v %v", n, knockers.others)
	}
}
