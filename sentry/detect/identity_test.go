package detect

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
