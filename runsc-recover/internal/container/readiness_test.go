package container

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"runsc-recover/checkpoint/config"
	"runsc-recover/oci/statedir"
	"runsc-recover/runsc-recover/internal/api"
	"runsc-recover/test/expect"
)

func TestSaysReady(t *testing.T) {
	for message, want := range map[string]bool{
		"READY=1": true, "READY=1\n": true, "STATUS=x\nREADY=1": true, "A\nREADY=1\nB": true,
		"": false, "READY=0": false, "READY=1x": false, "xREADY=1": false, "READY=1\x00": false, "ready=1": false, "STATUS=READY=1": false,
	} {
		if got := saysReady(message); got != want {
			t.Errorf("%q: %t", message, got)
		}
	}
}

// starting is a supervisor whose program sends notices once it runs.
type starting struct {
	api.Service // nil: a method that no test expects
	notices     func()
}

func (s *starting) Start(context.Context) error {
	s.notices()
	return nil
}

// readied starts a container under a service manager and returns the manager's
// socket.
func readied(t *testing.T, notices ...string) *net.UnixConn {
	t.Helper()
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "m"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { manager.Close() })
	s := new(starting)
	w := newWorld(t, statedir.StatusCreated, config.Config{}, s)
	if err := os.Mkdir(w.dir.NotifyDir(), 0o755); err != nil {
		t.Fatal(err)
	}
	s.notices = func() {
		c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: w.dir.NotifySocket(), Net: "unixgram"})
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		for _, n := range notices {
			if _, err := c.Write([]byte(n)); err != nil {
				t.Error(err)
			}
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := w.open(t).Start(ctx, StartOptions{Manager: manager.LocalAddr().String(), Detach: true}); err != nil {
		t.Fatal(err)
	}
	if ctx.Err() != nil {
		t.Fatal("the program's readiness was never heard of")
	}
	return manager
}

// TestReadinessIsPassedOn has a program that says much else: all that the
// manager hears is that it is ready, and which process to watch.
func TestReadinessIsPassedOn(t *testing.T) {
	flood := string(bytes.Repeat([]byte("x"), 3*maxNotice)) + "\nREADY=1"
	manager := readied(t, "MAINPID=1\nSTATUS=busy", flood, "FDSTORE=1", "STOPPING=1\nREADY=1\nMAINPID=1")
	b := make([]byte, 4096)
	n, err := manager.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "told", string(b[:n]), "READY=1\nMAINPID="+strconv.Itoa(os.Getpid())+"\n")
}
