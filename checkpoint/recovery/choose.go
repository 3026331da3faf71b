package recovery

import (
	"fmt"
	"slices"
	"time"

	"runsc-recover/checkpoint"
)

// Candidate is a checkpoint that a recovery may go back to.
type Candidate struct {
	Seq     checkpoint.Seq
	RunTime time.Duration
	// Asked is set when the program or the operator asked for the checkpoint,
	// rather than the interval: they count on their work before it.
	Asked bool
	// Unusable says why the checkpoint can't be restored; empty if it can.
	Unusable string
}

// ChoiceInput holds the facts of Choose's decision.
type ChoiceInput struct {
	// Candidates are the checkpoints before the failure, oldest first.
	Candidates []Candidate
	// Tries counts the attempts made against this failure before.
	Tries int
	// Held is the checkpoint that a standby was restored from and waits in, 0
	// for none; it may lie MaxLag before the newest.
	Held   checkpoint.Seq
	MaxLag time.Duration
}

// Choice is the checkpoint to go back to.
type Choice struct {
	Seq     checkpoint.Seq
	Reasons []string
}

// Choose picks the checkpoint for an attempt. The first attempt takes the
// checkpoint that a standby holds, unless that is too old or a later one was
// asked for. The newest is tried twice, then each attempt goes back twice as far,
// 1, 2, 4, … checkpoints, down to the oldest. An unusable checkpoint is passed
// over for the next older one, and at the old end for the next newer one. Choose
// is false when no checkpoint can be used, with the reasons in the Choice.
func Choose(in ChoiceInput) (Choice, bool) {
	n := len(in.Candidates)
	if n == 0 {
		return Choice{Reasons: []string{"there is no checkpoint to go back to"}}, false
	}
	if i := slices.IndexFunc(in.Candidates, in.holds); i >= 0 && !slices.ContainsFunc(in.Candidates[i+1:], asked) {
		return Choice{in.Held, []string{whyHeld(in.Candidates[n-1].RunTime-in.Candidates[i].RunTime, i == n-1)}}, true
	}
	want := max(0, n-1-stepsBack(in.Tries, n))
	reasons := []string{whyThere(in.Tries, n-1-want, want == 0)}
	for i := want; i >= 0; i-- {
		if c := in.Candidates[i]; c.Unusable == "" {
			return Choice{c.Seq, reasons}, true
		}
		reasons = append(reasons, passedOver(in.Candidates[i]))
	}
	for i := want + 1; i < n; i++ {
		if c := in.Candidates[i]; c.Unusable == "" {
			return Choice{c.Seq, append(reasons, "no older one can be used")}, true
		}
		reasons = append(reasons, passedOver(in.Candidates[i]))
	}
	return Choice{Reasons: append(reasons, "no checkpoint can be used")}, false
}

// holds reports whether a standby makes c the choice.
func (in ChoiceInput) holds(c Candidate) bool {
	newest := in.Candidates[len(in.Candidates)-1]
	return in.Tries == 0 && c.Seq == in.Held && c.Unusable == "" && newest.RunTime-c.RunTime <= in.MaxLag
}

func asked(c Candidate) bool { return c.Asked }

func whyHeld(lag time.Duration, newest bool) string {
	if newest {
		return "the newest before the failure, which the standby holds"
	}
	return fmt.Sprintf("the standby holds it, %v before the newest", lag.Round(time.Millisecond))
}

// stepsBack is the number of checkpoints that an attempt goes back from the
// newest, at most limit.
func stepsBack(tries, limit int) int {
	if tries < 2 {
		return 0
	}
	back := 1
	for range tries - 2 {
		if back *= 2; back >= limit {
			return limit
		}
	}
	return back
}

func whyThere(tries, back int, oldest bool) string {
	switch {
	case tries == 0:
		return "the newest before the failure"
	case back == 0 && oldest:
		return "the only one"
	case back == 0:
		return "the newest before the failure, once more"
	case oldest:
		return fmt.Sprintf("the oldest, %d before the newest, after %d attempts", back, tries)
	}
	return fmt.Sprintf("%d before the newest, after %d attempts", back, tries)
}

func passedOver(c Candidate) string {
	return fmt.Sprintf("checkpoint %d passed over: %s", c.Seq, c.Unusable)
}
