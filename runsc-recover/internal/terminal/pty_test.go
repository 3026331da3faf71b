package terminal

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"runsc-recover/test/expect"
)

func TestMasterIsSentAsRuncDoes(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sent := make(chan error, 1)
	go func() { sent <- Send(socket, f) }()
	conn, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	buf, oob := make([]byte, 64), make([]byte, 64)
	n, m, _, _, err := conn.ReadMsgUnix(buf, oob)
	if err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "send", <-sent, nil)
	expect.Equal(t, "message", string(buf[:n]), "/dev/null")
	msgs, err := unix.ParseSocketControlMessage(oob[:m])
	if err != nil || len(msgs) != 1 {
		t.Fatalf("control messages: %v %v", msgs, err)
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil || len(fds) != 1 {
		t.Fatalf("rights: %v %v", fds, err)
	}
	unix.Close(fds[0])
}

// TestMasterIsReceived sends the master end of a new terminal to a socket of
// this process's.
func TestMasterIsReceived(t *testing.T) {
	p, err := New(&specs.Box{Height: 12, Width: 34})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	s, err := Listen()
	if err != nil {
		t.Fatal(err)
	}
	if err := Send(s.Path(), p.Master); err != nil {
		t.Fatal(err)
	}
	master, err := s.Receive()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	size, err := master.Size()
	expect.Equal(t, "error", err, nil)
	expect.Equal(t, "height", size.Height, 12)
	expect.Equal(t, "width", size.Width, 34)
	s.Close()
	if _, err := os.Stat(filepath.Dir(s.Path())); !os.IsNotExist(err) {
		t.Errorf("socket's directory after Close: %v", err)
	}
}

// TestOtherThanTerminalIsRefused sends a descriptor that no console can be made
// of, and a message without one.
func TestOtherThanTerminalIsRefused(t *testing.T) {
	for name, send := range map[string]func(path string) error{
		"a file": func(path string) error {
			f, err := os.Open("/dev/null")
			if err != nil {
				return err
			}
			defer f.Close()
			return Send(path, f)
		},
		"no descriptor": func(path string) error {
			c, err := net.Dial("unix", path)
			if err != nil {
				return err
			}
			defer c.Close()
			_, err = c.Write([]byte("/dev/pts/0"))
			return err
		},
	} {
		s, err := Listen()
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if err := send(s.Path()); err != nil {
			t.Fatal(err)
		}
		if master, err := s.Receive(); err == nil {
			t.Errorf("%s: received %s", name, master.Name())
		}
	}
}
