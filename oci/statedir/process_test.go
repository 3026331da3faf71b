package statedir

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func inode(fi os.FileInfo) string {
	return strconv.FormatUint(fi.Sys().(*syscall.Stat_t).Ino, 10)
}

func TestParseStat(t *testing.T) {
	tail := " 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20"
	for _, c := range []struct {
		in   string
		want procStat
		ok   bool
	}{
		{"7 (sh) S" + tail, procStat{'S', 4242, 230 * time.Millisecond}, true},
		{"7 (a) R) b (c) Z" + tail, procStat{'Z', 4242, 230 * time.Millisecond}, true},
		{"7 (sh) S 1 2 3", procStat{}, false},
		{"7 sh S" + tail, procStat{}, false},
		{"7 (sh) S" + strings.Replace(tail, "4242", "x", 1), procStat{}, false},
		{"7 (sh) S" + strings.Replace(tail, " 11 ", " x ", 1), procStat{}, false},
		{"", procStat{}, false},
	} {
		if got, err := parseStat([]byte(c.in)); got != c.want || (err == nil) != c.ok {
			t.Errorf("%q: %+v, %v", c.in, got, err)
		}
	}
}

func startSleep(t *testing.T) (*exec.Cmd, Process) {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	p, err := FindProcess(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return cmd, p
}

func TestProcess(t *testing.T) {
	cmd, p := startSleep(t)
	if !p.Alive() {
		t.Error("a running process isn't alive")
	}
	reused := p
	reused.StartTime--
	if reused.Alive() {
		t.Error("a process with another start time is alive")
	}
	if err := reused.Signal(syscall.SIGKILL); !errors.Is(err, ErrNoProcess) {
		t.Errorf("signal to a process that had the pid before: %v", err)
	}
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := p.Wait(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("wait for a running process: %v", err)
	}
	if err := p.Signal(syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	if err := p.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	if p.Alive() { // not waited for yet
		t.Error("a zombie is alive")
	}
	if err := p.Signal(syscall.SIGTERM); !errors.Is(err, ErrNoProcess) {
		t.Errorf("signal to a zombie: %v", err)
	}
	cmd.Wait()
	if err := p.Wait(t.Context()); err != nil {
		t.Errorf("wait for a process that is gone: %v", err)
	}
	if _, err := FindProcess(p.Pid); !errors.Is(err, ErrNoProcess) {
		t.Errorf("find a process that is gone: %v", err)
	}
	if (Process{}).Alive() {
		t.Error("no process is alive")
	}
}
