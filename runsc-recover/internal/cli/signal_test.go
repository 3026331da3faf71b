package cli

import "testing"

func TestParseSignal(t *testing.T) {
	for in, want := range map[string]int{
		"KILL": 9, "SIGKILL": 9, "sigterm": 15, "Term": 15, "0": 0, "9": 9, "64": 64,
		"RTMIN": 34, "SIGRTMIN+8": 42, "rtmax": 64, "RTMAX-1": 63, "RTMIN+30": 64, "RTMAX-30": 34,
	} {
		if got, err := parseSignal(in); err != nil || got != want {
			t.Errorf("%q: %d, %v, want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "BOGUS", "-1", "65", "SIG", "RTMIN-1", "RTMAX+1", "RTMIN+31", "RTMAX-31", "RTMIN+", "RTMIN+x", "9 ", "SIGSIGKILL"} {
		if got, err := parseSignal(in); err == nil {
			t.Errorf("%q: accepted as %d", in, got)
		}
	}
}
