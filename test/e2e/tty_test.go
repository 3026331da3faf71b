package e2e

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"runsc-recover/test/harness"
)

// terminal is the master of a container's terminal, as a shim holds it.
type terminal struct {
	t      *testing.T
	master *os.File

	mu   sync.Mutex
	seen strings.Builder
}

// receiveTerminal takes the master that is sent to a console socket.
func receiveTerminal(t *testing.T, l *net.UnixListener) *terminal {
	t.Helper()
	if err := l.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	conn, err := l.AcceptUnix()
	if err != nil {
		t.Fatalf("nobody came to the console socket: %v", err)
	}
	defer conn.Close()
	name, control := make([]byte, 4096), make([]byte, 256)
	_, n, _, _, err := conn.ReadMsgUnix(name, control)
	if err != nil {
		t.Fatal(err)
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil || len(messages) != 1 {
		t.Fatalf("%d control messages, %v", len(messages), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		t.Fatalf("%d descriptors, %v", len(fds), err)
	}
	// Non-blocking, so that closing it ends the read.
	if err := unix.SetNonblock(fds[0], true); err != nil {
		t.Fatal(err)
	}
	tt := &terminal{t: t, master: os.NewFile(uintptr(fds[0]), "master")}
	t.Cleanup(func() { tt.master.Close() })
	go tt.read()
	return tt
}

func (tt *terminal) read() {
	buf := make([]byte, 4096)
	for {
		n, err := tt.master.Read(buf)
		tt.mu.Lock()
		tt.seen.Write(buf[:n])
		tt.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (tt *terminal) types(text string) {
	tt.t.Helper()
	if _, err := tt.master.WriteString(text); err != nil {
		tt.t.Fatal(err)
	}
}

// forget makes shows look at later output alone.
func (tt *terminal) forget() {
	tt.mu.Lock()
	defer tt.mu.Unlock()
	tt.seen.Reset()
}

func (tt *terminal) shows(text string) {
	tt.t.Helper()
	harness.Until(tt.t, 20*time.Second, "on the terminal: "+text, func() (bool, string) {
		tt.mu.Lock()
		defer tt.mu.Unlock()
		return strings.Contains(tt.seen.String(), text), tt.seen.String()
	})
}

// The caller's end of the terminal goes on working across a rollback, with the
// terminal's modes, its size and its interrupt key.
func TestTerminal(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	b := rt.Shell(`trap 'echo interrupted' INT; stty size; echo ready; while :; do read line && echo "got $line"; done`)
	b.Spec.Process.Terminal = true
	b.Spec.Process.ConsoleSize = &specs.Box{Height: 33, Width: 99}
	b.Write().Recover("interval", "300ms")
	socket := filepath.Join(rt.Dir, "console.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := rt.Create(b, "--console-socket", socket)
	tt := receiveTerminal(t, l)
	rt.Do("start", c.ID)
	tt.shows("33 99")
	tt.shows("ready")
	tt.types("one\n")
	tt.shows("got one")
	tt.types("\x03")
	tt.shows("interrupted")
	c.HasCheckpoints(2)
	rt.Do("fail", c.ID)
	tt.types("two\n")
	tt.shows("got two")
	tt.forget()
	tt.types("\x03")
	tt.shows("interrupted")
	rt.Do("kill", c.ID, "KILL")
	c.Exits(137)
}
