package signals

import (
	"strconv"
	"testing"
)

func TestParse(t *testing.T) {
	for in, want := range map[string]int{
		"KILL": 9, "SIGKILL": 9, "sigterm": 15, "Term": 15, "0": 0, "9": 9, "64": 64,
		"RTMIN": 34, "SIGRTMIN+8": 42, "rtmax": 64, "RTMAX-1": 63, "RTMIN+30": 64, "RTMAX-30": 34,
	} {
		if got, ok := Parse(in); !ok || got != want {
			t.Errorf("%q: %d, %t, want %d", in, got, ok, want)
		}
	}
	for _, in := range []string{"", "BOGUS", "-1", "65", "SIG", "RTMIN-1", "RTMAX+1", "RTMIN+31", "RTMAX-31", "RTMIN+", "RTMIN+x", "RTMIN++1", "RTMIN+99999999999999999999", "9 ", "SIGSIGKILL"} {
		if got, ok := Parse(in); ok {
			t.Errorf("%q: accepted as %d", in, got)
		}
	}
}

func TestCatchable(t *testing.T) {
	for n := -1; n <= 66; n++ {
		want := n >= 1 && n <= 64 && n != 9 && n != 19 && n != 32 && n != 33
		if got := Catchable(n); got != want {
			t.Errorf("%d: %t, want %t", n, got, want)
		}
	}
}

// FuzzParse asks that every accepted text is a signal, whose number is accepted
// as the same signal.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"9", "SIGRTMAX-30", "rtmin+", "usr1", "-0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, ok := Parse(s)
		if !ok {
			return
		}
		if again, ok := Parse(strconv.Itoa(n)); !ok || again != n || n < 0 || n > 64 {
			t.Errorf("%q: %d, then %d", s, n, again)
		}
	})
}
