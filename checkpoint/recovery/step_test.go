package recovery

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/config"
	"runsc-recover/sentry/failure"
	"runsc-recover/test/expect"
)

// allEvents has an event of each kind, in the order of eventKind.
func allEvents() []Event {
	now := time.Unix(1700000000, 0).UTC()
	f := Failure{Kind: failure.Signal, Key: 7, Signo: 11, RunTime: 10 * time.Second}
	return []Event{
		Failed{Failure: f, Now: now}, SandboxDied{RunTime: 10 * time.Second, Now: now}, Ready{}, Released{},
		RestoreFailed{Reason: "r", Now: now}, Resolved{}, Tick{RunTime: time.Hour}, Exited{Status: 3},
		Shutdown{Status: 137}, CheckpointTaken{Seq: 9, RunTime: 9 * time.Second}, CheckpointRemoved{Seq: 1},
		OperatorFail{}, Restarted{}, RestartFailed{Reason: "r"},
		CopyDamaged{Seq: 2, Reason: "r", RunTime: 10 * time.Second, Now: now},
	}
}

// situations are states in every phase, two where the phase has two meanings,
// by the events that lead there.
func situations(t *testing.T) map[string]State {
	events := allEvents()
	begun := []Event{CheckpointTaken{Seq: 1, RunTime: 1}, CheckpointTaken{Seq: 2, RunTime: 2}}
	restoring := append(slices.Clone(begun), events[kindFailed])
	probation := append(slices.Clone(restoring), Ready{}, Released{})
	again := append(slices.Clone(probation), events[kindFailed])
	reach := func(cfg config.Config, events []Event, phase Phase) State {
		var s State
		for _, e := range events {
			s, _ = Step(cfg, s, e)
		}
		if s.Phase != phase {
			t.Fatalf("%v leads to %v, not %v", events, s.Phase, phase)
		}
		return s
	}
	once := configOf(t, map[string]string{"max-attempts": "1"})
	afresh := configOf(t, map[string]string{"max-attempts": "1", "exhausted": "restart"})
	return map[string]State{
		"running":    reach(once, begun, Running),
		"restoring":  reach(once, restoring, Restoring),
		"probation":  reach(once, probation, Probation),
		"exhausted":  reach(once, again, Exhausted),
		"restarting": reach(afresh, again, Exhausted),
		"ended":      reach(once, append(again, Exited{}), Ended),
	}
}

// TestAllPairs checks every event in every phase against
// testdata/transitions.golden: the phase that follows and the actions' names.
func TestAllPairs(t *testing.T) {
	cfg := configOf(t, nil)
	states := situations(t)
	if len(allEvents()) != kinds || len(states) != phases+1 {
		t.Fatal("an event or a phase is missing here")
	}
	var out strings.Builder
	for _, name := range []string{"running", "restoring", "probation", "exhausted", "restarting", "ended"} {
		for i, e := range allEvents() {
			if e.kind() != eventKind(i) {
				t.Fatalf("%T is out of order", e)
			}
			next, actions := checkedStep(t, cfg, states[name], e)
			line := fmt.Sprintf("%-10s %-17s -> %-9v", name, reflect.TypeOf(e).Name(), next.Phase)
			for _, a := range actions {
				line += " " + reflect.TypeOf(a).Name()
			}
			out.WriteString(strings.TrimSpace(line) + "\n")
		}
	}
	expect.Golden(t, "transitions.golden", out.String())
}

// checkedStep steps and checks the rules of every step.
func checkedStep(t *testing.T, cfg config.Config, s State, e Event) (State, []Action) {
	t.Helper()
	before, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	next, actions := Step(cfg, s, e)
	if after, _ := json.Marshal(s); string(after) != string(before) {
		t.Fatalf("%T changed the state it was given:\n%s\n%s", e, before, after)
	}
	if why := unsound(cfg, next); why != "" {
		t.Fatalf("%v with %T%+v: %s: %+v", s.Phase, e, e, why, next)
	}
	if s.Phase == Ended && !reflect.DeepEqual(next, s) {
		t.Fatalf("%T changed a state that has ended", e)
	}
	return next, actions
}

// unsound names a state's fault; empty for none.
func unsound(cfg config.Config, s State) string {
	open := s.Phase == Restoring || s.Phase == Probation
	switch {
	case open != (s.Episode != nil):
		return "an episode is open exactly while a recovery is under way"
	case (s.Restarting || s.RateSpent) && s.Phase != Exhausted && s.Phase != Ended:
		return "a flag of Exhausted outlives it"
	case len(s.Recent) > cfg.MaxRate || len(s.Restarts) > cfg.MaxRate:
		return "the times kept are more than the rate"
	case !slices.IsSortedFunc(s.Lineage, func(a, b Point) int { return int(a.Seq) - int(b.Seq) }):
		return "the lineage isn't in order"
	}
	for _, p := range s.Lineage {
		if slices.Contains(s.Orphaned, p.Seq) {
			return "a checkpoint is on the lineage and orphaned"
		}
	}
	if s.Episode == nil {
		if len(s.Pinned()) > 0 {
			return "checkpoints are pinned outside an episode"
		}
		return ""
	}
	if s.Episode.Spent < 1 || s.Episode.Spent > cfg.MaxAttempts {
		return "an episode's attempts aren't within the budget"
	}
	if !s.Pinned()[s.Episode.Attempt.Seq] {
		return "the checkpoint of the attempt isn't pinned"
	}
	return ""
}

// records follows the actions and names those that no journal could write down.
type records struct {
	episode, attempt bool
	attempts         int
}

func (r *records) follow(a Action) string {
	switch a := a.(type) {
	case BeginEpisode:
		if r.episode {
			return "an episode begins within another"
		}
		r.episode, r.attempts = true, 0
	case BeginAttempt:
		r.attempts++
		if !r.episode || r.attempt || a.Attempt != r.attempts || a.Level < 1 || len(a.Reasons) == 0 {
			return "an attempt begins out of order"
		}
		r.attempt = true
	case EndAttempt:
		if !r.attempt || len(a.Reasons) == 0 {
			return "an attempt ends that didn't begin"
		}
		r.attempt = false
	case EndEpisode:
		if !r.episode || r.attempt || len(a.Reasons) == 0 {
			return "an episode ends that didn't begin, or before its attempt"
		}
		r.episode = false
	case Exit:
		if r.episode || a.Status < 0 || a.Status > 255 {
			return "the container exits with its records open, or with a status that is none"
		}
	case Remove:
		if len(a.Seqs) == 0 {
			return "nothing is removed"
		}
	}
	return ""
}

// FuzzStep feeds the machine any events in any order, a hostile sandbox and a
// broken engine included.
func FuzzStep(f *testing.F) {
	f.Add([]byte{10, 1, 10, 1, 0, 4, 2, 0, 3, 0, 4, 0, 10, 1, 0, 4, 2, 0, 3, 0, 4, 0, 7, 200})
	f.Add([]byte{10, 1, 0, 1, 2, 0, 5, 3, 13, 0, 10, 1, 1, 9, 9, 255})
	f.Fuzz(func(t *testing.T, story []byte) {
		if len(story) > 400 {
			story = story[:400]
		}
		for _, exhausted := range []string{"exit", "restart"} {
			playStory(t, configOf(t, map[string]string{"max-attempts": "3", "max-rate": "2", "exhausted": exhausted}), story)
		}
	})
}

func playStory(t *testing.T, cfg config.Config, story []byte) {
	var s State
	var r records
	taken := checkpoint.Seq(0)
	for ; len(story) > 1; story = story[2:] {
		e := varied(allEvents()[int(story[0])%kinds], story[1], &taken)
		var actions []Action
		s, actions = checkedStep(t, cfg, s, e)
		for _, a := range actions {
			if why := r.follow(a); why != "" {
				t.Fatalf("%T%+v leads to %T%+v: %s", e, e, a, a, why)
			}
		}
		if r.episode != (s.Episode != nil) {
			t.Fatalf("%T leaves the record open: %v; the phase is %v", e, r.episode, s.Phase)
		}
	}
}

// varied changes an event by a byte.
func varied(e Event, by byte, taken *checkpoint.Seq) Event {
	at := time.Duration(by) * 100 * time.Millisecond
	now := time.Unix(1700000000, 0).UTC().Add(time.Duration(by) * time.Minute)
	switch e := e.(type) {
	case Failed:
		e.Failure.Key, e.Failure.RunTime, e.Now = uint64(by%3), at, now
		e.Failure.Kind, e.Failure.Code = failure.Kind(by%8), int32(by)<<24
		return e
	case SandboxDied:
		e.OutOfMemory, e.RunTime, e.Now = by%2 == 0, at, now
		return e
	case RestoreFailed:
		e.Damaged, e.Now = by%2 == 0, now
		return e
	case Tick:
		e.RunTime = at
		return e
	case CheckpointTaken:
		*taken++
		return CheckpointTaken{Seq: *taken, RunTime: at}
	case CopyDamaged:
		e.Seq, e.RunTime, e.Now = checkpoint.Seq(by%16), at, now
		return e
	case CheckpointRemoved:
		return CheckpointRemoved{Seq: checkpoint.Seq(by % 16)}
	}
	return e
}

func TestResumeFollowsParents(t *testing.T) {
	manifests := []checkpoint.Manifest{ // 3 and 4 were left for 5; 8 and 9 for the resume; 6's parent is gone
		{Seq: 9, Parent: 8}, {Seq: 8, Parent: 6}, {Seq: 6, Parent: 5}, {Seq: 5, Parent: 2, RunTime: time.Second},
		{Seq: 4, Parent: 3}, {Seq: 3, Parent: 2}, {Seq: 1},
	}
	s := Resume(manifests, 6)
	want := State{
		Lineage:  []Point{{Seq: 1}, {Seq: 5, RunTime: time.Second}, {Seq: 6}},
		Orphaned: []checkpoint.Seq{3, 4, 8, 9},
	}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("got %+v, want %+v", s, want)
	}
	if s.Head() != 6 || (State{}).Head() != 0 {
		t.Errorf("the head is %d", s.Head())
	}
}

// TestStandbyIsPreferredOnce: the first attempt against a failure uses the
// standby's checkpoint, the next ones go their usual way.
func TestStandbyIsPreferredOnce(t *testing.T) {
	cfg := configOf(t, nil)
	f := Failure{Kind: failure.Reported, Key: 7, RunTime: 3 * time.Second}
	var s State
	var chosen []checkpoint.Seq
	for _, e := range []Event{
		CheckpointTaken{Seq: 1, RunTime: 1 * time.Second}, CheckpointTaken{Seq: 2, RunTime: 2 * time.Second},
		Failed{Failure: f, Held: 1}, Ready{}, Released{},
		Failed{Failure: f, Held: 1}, Ready{}, Released{},
		SandboxDied{RunTime: 3 * time.Second, Held: 1},
	} {
		var actions []Action
		s, actions = Step(cfg, s, e)
		for _, a := range actions {
			if b, ok := a.(BeginAttempt); ok {
				chosen = append(chosen, b.Seq)
			}
		}
	}
	if want := []checkpoint.Seq{1, 2, 1}; !slices.Equal(chosen, want) {
		t.Errorf("chose %v, want %v", chosen, want)
	}
}
