package supervisor

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"runsc-recover/test/expect"
)

func TestReceiversOfSignals(t *testing.T) {
	for _, c := range []struct {
		sig                     os.Signal
		withTerminal, otherwise receiver
	}{
		{unix.SIGHUP, toFirst, toFirst},
		{unix.SIGINT, toForeground, toFirst},
		{unix.SIGQUIT, toForeground, toFirst},
		{unix.SIGTERM, toFirst, toFirst},
		{unix.SIGUSR1, toFirst, toFirst},
		{unix.SIGTSTP, toForeground, toNobody},
		{unix.SIGWINCH, toForeground, toNobody},
		{unix.SIGPIPE, toNobody, toNobody},
	} {
		expect.Equal(t, c.sig.String()+" with a terminal", receiverOf(c.sig, true), c.withTerminal)
		expect.Equal(t, c.sig.String(), receiverOf(c.sig, false), c.otherwise)
	}
}
