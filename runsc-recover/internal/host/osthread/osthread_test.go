package osthread

import (
	"testing"

	"golang.org/x/sys/unix"

	"runsc-recover/test/expect"
)

func TestLastingThreadIsOne(t *testing.T) {
	l := New()
	var first, second int
	l.Do(func() { first = unix.Gettid() })
	done := make(chan struct{})
	go func() { l.Do(func() { second = unix.Gettid() }); close(done) }()
	<-done
	expect.Equal(t, "thread", second, first)
}
