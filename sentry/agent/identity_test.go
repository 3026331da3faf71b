package agent

import (
	"testing"
	"unicode/utf8"

	"gvisor.dev/gvisor/pkg/abi/linux"
)

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"":            "",
		"plain":       "plain",
		"grün":        "grün",
		"bad\xffbyte": "bad?byte",
		"gr\xc3":      "gr?",
	} {
		got := printable([]byte(in))
		if got != want || len(got) != len(in) || !utf8.ValidString(got) {
			t.Errorf("printable(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestIsFailure(t *testing.T) {
	for sig := linux.Signal(1); sig <= linux.SignalMaximum; sig++ {
		var anywhere, first bool
		switch sig {
		case 4, 5, 6, 7, 8, 11, 24, 25, 31: // those that dump core, but for SIGQUIT
			anywhere, first = true, true
		case 1, 2, 3, 9, 15: // HUP, INT, QUIT, KILL, TERM
		default:
			first = true
		}
		if got := isFailure(sig, false); got != anywhere {
			t.Errorf("signal %d in any process: got %t", sig, got)
		}
		if got := isFailure(sig, true); got != first {
			t.Errorf("signal %d in the first process: got %t", sig, got)
		}
	}
}

func TestConnectionsRoundTrip(t *testing.T) {
	a := connection{LocalPort: 80, RemotePort: 1, AddrLen: 4, Sent: 1, Received: 2}
	copy(a.RemoteAddr[:], []byte{10, 0, 0, 1})
	b := a
	b.RemotePort = 2
	got, err := decodeConnections(encodeConnections([]connection{a, b}))
	if err != nil || len(got) != 2 || got[a.id()] != a || got[b.id()] != b {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := decodeConnections(make([]byte, connectionBytes+1)); err == nil {
		t.Error("half a connection was accepted")
	}
	if _, err := decodeConnections(make([]byte, connectionBytes*(maxConnections+1))); err == nil {
		t.Error("too many connections were accepted")
	}
}

func TestClamp(t *testing.T) {
	for _, tc := range []struct{ limit, level, want uint32 }{{0, 7, 7}, {3, 2, 2}, {3, 3, 3}, {3, 4, 3}} {
		if got := (attachment{MaxLevel: tc.limit}).clamp(tc.level); got != tc.want {
			t.Errorf("level %d with limit %d: got %d", tc.level, tc.limit, got)
		}
	}
}
