package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"runsc-recover/test/harness"
)

// knocks are connections made one after the other.
type knocks struct {
	mu      sync.Mutex
	made    int
	reset   int
	longest time.Duration // to connect
	failed  []error       // any other way
}

// begin has so many clients knock until the result is called.
func (k *knocks) begin(w *wire, clients int) (stop func()) {
	stopped := make(chan struct{})
	var running sync.WaitGroup
	for range clients {
		running.Go(func() { k.knock(w, stopped) })
	}
	return func() {
		close(stopped)
		running.Wait()
	}
}

// knock makes connections and has a line echoed on each, until told to stop.
func (k *knocks) knock(w *wire, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		began := time.Now()
		conn, err := w.dial(echoPort)
		took := time.Since(began)
		if err == nil {
			err = exchange(conn)
		}
		k.note(took, err)
	}
}

func (k *knocks) note(took time.Duration, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.longest = max(k.longest, took)
	switch {
	case err == nil:
		k.made++
	case errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE):
		k.reset++
	default:
		k.failed = append(k.failed, err)
	}
}

// exchange has a line echoed and closes the connection.
func exchange(conn net.Conn) error {
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("hi\n")); err != nil {
		return err
	}
	_, err := conn.Read(make([]byte, 3))
	return err
}

// A peer that connects while one sandbox takes the place of another is never
// refused or left waiting.
func TestConnectDuringTheSwap(t *testing.T) {
	t.Parallel()
	for _, standby := range []string{"hot", "warm", "cold"} {
		t.Run(standby, func(t *testing.T) {
			t.Parallel()
			rt := harness.New(t)
			w := newWire(t, rt)
			c := w.echo(rt, standby)
			l := w.listen()
			var k knocks
			stop := k.begin(w, 3)
			// A copy of an earlier moment doesn't listen yet.
			rt.Do("checkpoint", "--into-store", c.ID)
			checkpoints := c.Checkpoints()
			listens := checkpoints[len(checkpoints)-1].Seq
			generation := 0
			for i := range 5 {
				if standby != "cold" {
					generation = c.StandsBy(standby, generation).Generation
				}
				for i == 0 && standby == "hot" && c.State().Standby.Checkpoint < listens {
					generation = c.StandsBy(standby, generation).Generation
				}
				rt.Do("fail", c.ID)
				c.Says("told 0", i+1)
			}
			stop()
			longest := 0.0
			for _, e := range c.Recovered(5) {
				longest = max(longest, e.Attempts[0].RestoreMS+e.Attempts[0].InterruptMS)
			}
			t.Logf("%d made, %d reset, longest %v, repeated %d; recovery %.0f ms", k.made, k.reset, k.longest, l.repeated(), longest)
			if len(k.failed) > 0 {
				t.Errorf("connections failed: %v", k.failed)
			}
			// The peer's second attempt would be its own doing.
			if longest < 500 && l.repeated() > 0 {
				t.Errorf("recoveries took up to %.0f ms, and the peer had to ask again", longest)
			}
		})
	}
}

// Nobody listens while the copy is made, but packets that arrive are kept for it:
// the peer needn't ask twice.
func TestConnectWhileTheCopyIsMade(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	w := newWire(t, rt)
	c := w.echo(rt, "cold")
	rt.Do("checkpoint", "--into-store", c.ID)
	l := w.listen()
	rt.Do("fail", c.ID) // the program has stopped
	conn, err := w.dial(echoPort)
	if err != nil {
		t.Fatal(err)
	}
	if err := exchange(conn); err != nil {
		t.Fatal(err)
	}
	c.Says("told 0", 1)
	a := lastAttempt(t, c)
	// The peer's second attempt would be its own doing.
	if took := a.RestoreMS + a.InterruptMS; took < 800 && l.repeated() > 0 {
		t.Errorf("the copy was there after %.0f ms, and the peer had to ask again", took)
	}
}

// A checkpoint stops the program, and packets that arrive meanwhile wait: nobody's
// kernel has to send anything twice.
func TestConnectDuringCheckpoints(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	w := newWire(t, rt)
	c := w.echo(rt, "cold")
	l := w.listen()
	var k knocks
	stop := k.begin(w, 3)
	for range 20 {
		rt.Do("checkpoint", "--into-store", c.ID)
	}
	stop()
	t.Logf("%d made, %d reset, longest %v, repeated %d", k.made, k.reset, k.longest, l.repeated())
	if n := l.repeated(); n > 0 || k.reset > 0 || len(k.failed) > 0 {
		t.Errorf("%d attempts to connect were repeated, %d connections reset, failed: %v", n, k.reset, k.failed)
	}
}

// Packets that a sandbox hadn't read when it died are there for its copy, whether
// its sockets were made by gVisor, as the first one's, or by the supervisor.
func TestConnectToADyingSandbox(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	w := newWire(t, rt)
	c := w.echo(rt, "cold")
	rt.Do("checkpoint", "--into-store", c.ID)
	if conn, err := w.dial(echoPort); err != nil || exchange(conn) != nil { // the peer knows the address then
		t.Fatal("connecting at first", err)
	}
	for generation := 1; generation <= 2; generation++ {
		l := w.listen()
		pids := sandboxesOf(t, rt, c, generation)
		signalAll(t, pids, unix.SIGSTOP)
		harness.Until(t, 10*time.Second, "a sandbox that stands still", func() (bool, string) {
			running := runningThreads(t, pids)
			return running == 0, fmt.Sprintf("%d threads run", running)
		})
		var connecting sync.WaitGroup
		connecting.Go(func() {
			conn, err := w.dial(echoPort)
			if err == nil {
				err = exchange(conn)
			}
			if err != nil {
				t.Error(err)
			}
		})
		harness.Until(t, 10*time.Second, "the attempt to connect", func() (bool, string) {
			return l.attempts() > 0, ""
		})
		signalAll(t, pids, unix.SIGKILL)
		connecting.Wait()
		c.Says("told 0", generation)
		a := lastAttempt(t, c)
		// The peer's second attempt would be its own doing.
		if took := a.RestoreMS + a.InterruptMS; took < 800 && l.repeated() > 0 {
			t.Errorf("the copy was there after %.0f ms, and the peer had to ask again", took)
		}
	}
}

// runningThreads counts those that a SIGSTOP hasn't reached yet.
func runningThreads(t *testing.T, pids []int) int {
	t.Helper()
	n := 0
	for _, pid := range pids {
		stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		if err != nil || len(stats) == 0 {
			t.Fatal("no threads of", pid, err)
		}
		for _, stat := range stats {
			text, err := os.ReadFile(stat)
			_, state, _ := strings.Cut(string(text), ") ")
			if err != nil || !strings.HasPrefix(state, "T") {
				n++
			}
		}
	}
	return n
}

func signalAll(t *testing.T, pids []int, sig unix.Signal) {
	t.Helper()
	for _, pid := range pids {
		if err := unix.Kill(pid, sig); err != nil && err != unix.ESRCH { // either process takes the other with it
			t.Fatal(err)
		}
	}
}

// However the supervisor ends, nothing of the silence stays in a namespace that
// isn't its own.
func TestKilledSupervisorLeavesNoRule(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	w := newWire(t, rt)
	c := w.echo(rt, "hot")
	c.StandsBy("hot", 0)
	if n := w.rules(); n == 0 {
		t.Error("no rule keeps the standby silent")
	}
	if err := unix.Kill(c.Pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	harness.Until(t, 10*time.Second, "no rule", func() (bool, string) {
		n := w.rules()
		return n == 0, fmt.Sprintf("%d tables", n)
	})
	c.Delete("--force")
}

// rules counts the packet filter's tables at the inner end.
func (w *wire) rules() int {
	w.t.Helper()
	ns, err := os.Open("/run/netns/" + w.inside)
	if err != nil {
		w.t.Fatal(err)
	}
	defer ns.Close()
	conn, err := nftables.New(nftables.WithNetNSFd(int(ns.Fd())))
	if err != nil {
		w.t.Fatal(err)
	}
	tables, err := conn.ListTablesOfFamily(nftables.TableFamilyNetdev)
	if err != nil {
		w.t.Fatal(err)
	}
	return len(tables)
}

// A supervisor that is killed in the middle of a swap leaves no packet filter
// and no socket in a namespace that isn't its own.
func TestSupervisorKilledDuringTheSwap(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	w := newWire(t, rt)
	var k knocks
	stop := k.begin(w, 1)
	for _, after := range []time.Duration{5 * time.Millisecond, 15 * time.Millisecond, 40 * time.Millisecond, 100 * time.Millisecond} {
		c := w.echo(rt, "hot")
		c.StandsBy("hot", 0)
		fail := rt.Command(t.Context(), "fail", c.ID)
		if err := fail.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(after) // into the swap, wherever that is by now
		if err := unix.Kill(c.Pid, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		_ = fail.Wait() // whether it was in time
		harness.Until(t, 10*time.Second, "an empty namespace", func() (bool, string) {
			rules, sockets := w.rules(), w.packetSockets()
			return rules == 0 && sockets == 0, fmt.Sprintf("%d tables, %d packet sockets", rules, sockets)
		})
		c.Delete("--force")
	}
	stop()
}

// packetSockets counts those at the inner end.
func (w *wire) packetSockets() int {
	w.t.Helper()
	var table []byte
	w.at(w.inside, func() (err error) {
		table, err = os.ReadFile("/proc/thread-self/net/packet")
		return err
	})
	return strings.Count(string(table), "\n") - 1 // without its heading
}
