package e2e

import (
	"encoding/binary"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"runsc-recover/test/harness"
)

const (
	insideIP = "10.11.12.2" // the container's
	peerIP   = "10.11.12.1"
	echoPort = 7000
)

// wire is two network namespaces with a cable between them: one for a
// container, one for its peer.
type wire struct {
	t            *testing.T
	inside, peer string // names
}

func newWire(t *testing.T, rt *harness.Runtime) *wire {
	t.Helper()
	harness.NeedProgram(t, "ip")
	w := &wire{t: t, inside: filepath.Base(rt.Dir) + "-in", peer: filepath.Base(rt.Dir) + "-out"}
	for _, ns := range []string{w.inside, w.peer} {
		w.ip("netns", "add", ns)
		t.Cleanup(func() { w.ip("netns", "del", ns) })
	}
	w.ip("-n", w.inside, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", w.peer)
	for ns, addr := range map[string]string{w.inside: insideIP, w.peer: peerIP} {
		w.ip("-n", ns, "addr", "add", addr+"/24", "dev", "eth0")
		w.ip("-n", ns, "link", "set", "eth0", "up")
		w.ip("-n", ns, "link", "set", "lo", "up")
	}
	return w
}

func (w *wire) ip(args ...string) {
	w.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		w.t.Fatalf("ip %v: %v: %s", args, err, out)
	}
}

// atPeer runs f on a thread in the peer's namespace, which ends with it.
func (w *wire) atPeer(f func() error) {
	w.t.Helper()
	w.at(w.peer, f)
}

// at runs f on a thread in a namespace, which ends with it.
func (w *wire) at(ns string, f func() error) {
	w.t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		fd, err := unix.Open("/run/netns/"+ns, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			defer unix.Close(fd)
			err = unix.Setns(fd, unix.CLONE_NEWNET)
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		w.t.Fatal(err)
	}
}

// dial connects to a port of the container.
func (w *wire) dial(port int) (conn net.Conn, err error) {
	w.t.Helper()
	w.atPeer(func() error {
		conn, err = net.DialTimeout("tcp", fmt.Sprintf("%s:%d", insideIP, port), 10*time.Second)
		return nil
	})
	return conn, err
}

// segment is a TCP segment from the container.
type segment struct {
	to    uint16 // the peer's port
	flags byte
}

const flagSYN, flagRST, flagACK = 0x02, 0x04, 0x10

// listener counts the container's packets.
type listener struct {
	mu   sync.Mutex
	seen map[segment]int
	// asked counts the peer's attempts to connect, by its port and sequence
	// number.
	asked map[attempt]int
}

// attempt is one attempt of the peer to connect.
type attempt struct {
	from uint16
	seq  uint32
}

// listen listens at the peer's end until the test ends.
func (w *wire) listen() *listener {
	w.t.Helper()
	l := &listener{seen: make(map[segment]int), asked: make(map[attempt]int)}
	var fd int
	w.atPeer(func() (err error) {
		const all = unix.ETH_P_ALL>>8 | unix.ETH_P_ALL&0xff<<8 // network byte order
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, all)
		return err
	})
	// So that reading ends.
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000}); err != nil {
		w.t.Fatal(err)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		l.read(fd, stop)
	}()
	w.t.Cleanup(func() { close(stop); <-done; unix.Close(fd) })
	return l
}

func (l *listener) read(fd int, stop <-chan struct{}) {
	frame := make([]byte, 1<<16)
	for {
		select {
		case <-stop:
			return
		default:
		}
		n, from, err := unix.Recvfrom(fd, frame, 0)
		if ll, ok := from.(*unix.SockaddrLinklayer); err == nil && ok {
			l.note(frame[:n], ll.Pkttype == unix.PACKET_OUTGOING)
		}
	}
}

func (l *listener) note(frame []byte, peers bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	const eth, ipv4, tcp = 14, 20, 20
	if len(frame) < eth+ipv4+tcp || binary.BigEndian.Uint16(frame[12:]) != unix.ETH_P_IP || frame[eth+9] != unix.IPPROTO_TCP {
		return
	}
	header := frame[eth+int(frame[eth]&0xf)*4:]
	flags := header[13] & (flagSYN | flagRST | flagACK)
	if !peers {
		l.seen[segment{binary.BigEndian.Uint16(header[2:]), flags}]++
	} else if flags == flagSYN {
		l.asked[attempt{binary.BigEndian.Uint16(header), binary.BigEndian.Uint32(header[4:])}]++
	}
}

// repeated counts the attempts to connect that had to be repeated.
func (l *listener) repeated() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, times := range l.asked {
		n += times - 1
	}
	return n
}

// attempts counts those to connect.
func (l *listener) attempts() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.asked)
}

func (l *listener) count(s segment) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen[s]
}

func echoed(t *testing.T, conn net.Conn) {
	t.Helper()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 3)
	if _, err := conn.Write([]byte("hi\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(buf); err != nil {
		t.Fatal(err)
	}
}

// echo starts an echo server at the inner end, with a standby that is renewed
// often.
func (w *wire) echo(rt *harness.Runtime, standby string) *harness.Container {
	w.t.Helper()
	b := w.inNamespace(rt.Bundle([]string{"/bin/echo"}, "echo")).
		Recover("interval", "500ms").Recover("max-overhead", "100%").Recover("standby", standby).Recover("standby-lag", "1h").
		Recover("grace", "0s")
	c := rt.Start(b.Write())
	c.Says("ready", 1)
	c.HasCheckpoints(1)
	return c
}

// A hot standby stands on the same cable as the running program: it answers
// nothing and sends nothing, although it has the same sockets open, and it
// doesn't disturb those of the program. Once released it serves, and a
// connection that carried nothing since the checkpoint goes on.
func TestHotStandbyIsSilent(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	w := newWire(t, rt)
	c := w.echo(rt, "hot")
	idle, err := w.dial(echoPort)
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	echoed(t, idle)
	s := c.StandsBy("hot", c.StandsBy("hot", 0).Generation) // a standby that knows the connection
	l := w.listen()

	for range 20 {
		once(t, w, l)
	}
	if s := c.State().Standby; s.Kind != "hot" {
		t.Errorf("it is no longer there: %+v", s)
	}
	printed := c.Output()

	c.StandsBy("hot", s.Generation)
	rt.Do("fail", c.ID)
	c.Says("told 0", 1)
	if a := lastAttempt(t, c); a.Standby != "hot" {
		t.Errorf("attempt %+v", a)
	}
	echoed(t, idle)
	once(t, w, l)
	if printed != "ready\n" {
		t.Errorf("a held copy ran: %q was printed before the failure", printed)
	}
}

// once checks that a single request has a single answer: two answers, or a reset
// beside an answer, come from two stacks.
func once(t *testing.T, w *wire, l *listener) {
	t.Helper()
	conn, err := w.dial(echoPort)
	if err != nil {
		t.Fatal(err)
	}
	port := uint16(conn.LocalAddr().(*net.TCPAddr).Port)
	echoed(t, conn)
	conn.Close()
	before := l.refusals()
	if _, err := w.dial(echoPort + 1); err == nil {
		t.Fatal("a closed port accepted")
	}
	harness.Until(t, 5*time.Second, "the refusal", func() (bool, string) {
		return l.refusals() > before, ""
	})
	// Packets from before the refusal have been seen by now.
	if n := l.refusals() - before; n != 1 {
		t.Errorf("a closed port refused %d times", n)
	}
	if n := l.count(segment{port, flagSYN | flagACK}); n != 1 {
		t.Errorf("a connection was accepted %d times", n)
	}
	if n := l.count(segment{port, flagRST}) + l.count(segment{port, flagRST | flagACK}); n != 0 {
		t.Errorf("a connection was reset %d times", n)
	}
}

// refusals counts connections that a closed port turned down.
func (l *listener) refusals() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for s, k := range l.seen {
		if s.flags == flagRST|flagACK {
			n += k
		}
	}
	return n
}
