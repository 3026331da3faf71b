package supervisor

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// The first thread is left to any goroutine as long as the main one isn't
// locked to it; many at once make some goroutine get it.
func TestOnOwnThreadIsNeverTheFirst(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for range 200 {
		if err := onOwnThread(func() error {
			if unix.Gettid() == unix.Getpid() {
				t.Error("ran on the process's first thread")
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}
