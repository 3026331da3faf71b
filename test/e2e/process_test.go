package e2e

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"runsc-recover/test/harness"
)

const sigterm = unix.SIGTERM

// waitFor waits for a process that was re-parented to this one.
func waitFor(t *testing.T, pid int) int {
	t.Helper()
	var status int
	harness.Until(t, 30*time.Second, fmt.Sprintf("exit of %d", pid), func() (bool, string) {
		var ws unix.WaitStatus
		got, err := unix.Wait4(pid, &ws, unix.WNOHANG, nil)
		if err != nil && !errors.Is(err, unix.EINTR) {
			t.Fatalf("wait for %d: %v", pid, err)
		}
		status = ws.ExitStatus()
		if ws.Signaled() {
			status = 128 + int(ws.Signal())
		}
		return got == pid, "it runs"
	})
	return status
}
