package netns

import (
	"bytes"
	"errors"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"runsc-recover/test/expect"
)

// The first thread is left to any goroutine as long as the main one isn't
// locked to it; many at once make some goroutine get it.
func TestOnOwnThreadIsNeverTheFirst(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for range 200 {
		if err := OnOwnThread(func() error {
			if unix.Gettid() == unix.Getpid() {
				t.Error("ran on the process's first thread")
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNewNetNSHasLoopback(t *testing.T) {
	var flags []byte
	err := In(Plan{Own: true}, func() (err error) {
		// sysfs shows its mounter's interfaces, so procfs is asked.
		flags, err = os.ReadFile("/proc/thread-self/net/if_inet6")
		return err
	})
	if os.Geteuid() != 0 {
		expect.Equal(t, "without privileges", errors.Is(err, os.ErrPermission), true)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(flags, []byte("lo")) {
		t.Errorf("loopback is not up: %q", flags)
	}
}
