package recovery

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/test/expect"
)

// TestChooseGolden writes down the choice for each of many tries, from escalations
// of different lengths and states.
func TestChooseGolden(t *testing.T) {
	escalation := func(n int, unusable ...checkpoint.Seq) []Candidate {
		var out []Candidate
		for i := range n {
			out = append(out, Candidate{Seq: checkpoint.Seq(i + 1)})
		}
		for _, seq := range unusable {
			out[seq-1].Unusable = "damaged"
		}
		return out
	}
	for name, candidates := range map[string][]Candidate{
		"none":           nil,
		"one":            escalation(1),
		"two":            escalation(2),
		"twenty":         escalation(20),
		"newest-damaged": escalation(6, 6, 5),
		"oldest-damaged": escalation(6, 1, 2, 3),
		"all-damaged":    escalation(2, 1, 2),
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			for tries := range 9 {
				c, ok := Choose(ChoiceInput{Candidates: candidates, Tries: tries})
				if !ok && c.Seq != 0 || len(c.Reasons) == 0 {
					t.Errorf("after %d tries: %+v, %v", tries, c, ok)
				}
				fmt.Fprintf(&out, "after %d tries: %d: %s\n", tries, c.Seq, strings.Join(c.Reasons, "; "))
			}
			expect.Golden(t, "choose-"+name+".golden", out.String())
		})
	}
}

func TestChooseAfterVeryManyTries(t *testing.T) {
	c, ok := Choose(ChoiceInput{Candidates: []Candidate{{Seq: 3}, {Seq: 4}}, Tries: 1 << 40})
	if !ok || c.Seq != 3 {
		t.Errorf("got %+v, %v", c, ok)
	}
}

func TestChooseTheStandbysCheckpoint(t *testing.T) {
	candidates := []Candidate{{Seq: 3, RunTime: 1 * time.Second}, {Seq: 4, RunTime: 3 * time.Second, Asked: true}, {Seq: 5, RunTime: 5 * time.Second}}
	for _, tc := range []struct {
		name   string
		tries  int
		held   checkpoint.Seq
		lag    time.Duration
		broken bool
		want   checkpoint.Seq
		reason string
	}{
		{"the newest", 0, 5, 0, false, 5, "the newest before the failure, which the standby holds"},
		{"just not too old", 0, 4, 2 * time.Second, false, 4, "the standby holds it, 2s before the newest"},
		{"too old", 0, 4, 2*time.Second - 1, false, 5, "the newest before the failure"},
		{"the second attempt", 1, 4, time.Hour, false, 5, "the newest before the failure, once more"},
		{"not on the lineage", 0, 9, time.Hour, false, 5, "the newest before the failure"},
		{"unusable", 0, 4, time.Hour, true, 5, "the newest before the failure"},
		{"behind one that was asked for", 0, 3, time.Hour, false, 5, "the newest before the failure"},
		{"the one that was asked for", 0, 4, time.Hour, false, 4, "the standby holds it, 2s before the newest"},
	} {
		in := ChoiceInput{Candidates: slices.Clone(candidates), Tries: tc.tries, Held: tc.held, MaxLag: tc.lag}
		if tc.broken {
			in.Candidates[1].Unusable = "damaged"
		}
		got, ok := Choose(in)
		if !ok || got.Seq != tc.want || got.Reasons[0] != tc.reason {
			t.Errorf("%s: got %+v, %v; want %d, %q", tc.name, got, ok, tc.want, tc.reason)
		}
	}
}
