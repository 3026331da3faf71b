package standby

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/config"
	"runsc-recover/checkpoint/schedule"
	"runsc-recover/test/expect"
)

// In scenario files now is a wall time since the beginning, which stays until
// another is given; sizes are in MiB. "config" sets options by their names in
// annotations, "holds" the facts of Input. Sandboxes are numbered from 2.
func TestScenarios(t *testing.T) {
	expect.Scenarios(t, "testdata/*.txt", 8, func(t *testing.T) func(string, expect.Args) ([]any, fmt.Stringer) {
		p := player{t: t, in: Input{Config: configOf(t, nil), Wanted: true, Generation: 2}}
		return p.play
	})
}

func configOf(t *testing.T, values map[string]string) config.Config {
	t.Helper()
	cfg, err := config.Parse(values)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

type player struct {
	t   *testing.T
	in  Input
	s   State
	now time.Duration
}

func (p *player) play(name string, args expect.Args) (out []any, _ fmt.Stringer) {
	switch name {
	case "":
		return nil, p.s.stage()
	case "config":
		p.in.Config = configOf(p.t, args.Values())
		return nil, p.s.stage()
	case "holds":
		p.in.Wanted = !args.Bool("unwanted")
		p.in.Head, p.in.HeadRunTime = checkpoint.Seq(args.Int("head")), args.Duration("t")
		p.in.Newest = checkpoint.Manifest{Seq: p.in.Head, Pages: checkpoint.Pages{Bytes: args.Int("pages") << 20, Stored: args.Int("pages") << 20}}
		p.in.Recent = []checkpoint.Cost{{Stop: args.Duration("pause")}}
		return nil, p.s.stage()
	}
	if args.Text("now") != "" {
		p.now = args.Duration("now")
	}
	p.in.Now = time.Unix(1700000000, 0).UTC().Add(p.now)
	var actions []Action
	p.s, actions = checkedStep(p.t, p.in, throughJSON(p.t, p.s), p.event(name, args))
	for _, a := range actions {
		switch a := a.(type) {
		case Boot:
			p.in.Generation++
		case Claimed:
			type Claimed struct {
				Generation int
				Phase      Phase
				Kind       config.Standby
				Seq        checkpoint.Seq
			}
			out = append(out, Claimed{a.Standby.Generation, a.Standby.Phase, a.Standby.Kind, a.Standby.Seq})
			continue
		}
		out = append(out, a)
	}
	return out, p.s.stage()
}

func (p *player) event(name string, args expect.Args) Event {
	p.t.Helper()
	var err error
	if text := args.Text("err"); text != "" {
		err = errors.New(strings.ReplaceAll(text, "-", " "))
	}
	generation := int(args.Int("generation"))
	switch name {
	case "reconcile":
		return Reconcile{}
	case "weighed":
		use := schedule.Memory{Used: uint64(args.Int("used") << 20), Limit: uint64(args.Int("limit") << 20)}
		return Weighed{Generation: generation, Use: use, Measured: uint64(args.Int("measured") << 20), Err: err}
	case "booted":
		return Booted{Generation: generation, NotFenced: args.Bool("notfenced"), Err: err}
	case "restored":
		return Restored{Generation: generation, RunTime: args.Duration("t"), Damaged: args.Bool("damaged"), Err: err}
	case "pages":
		return PagesLoaded{Generation: generation, Work: args.Duration("work")}
	case "gone":
		return Gone{Generation: generation, Err: errors.New("sandbox is gone")}
	case "damaged":
		return Damaged{Generation: generation, Err: errors.New("checkpoint is damaged")}
	case "claim":
		return Claim{Seq: checkpoint.Seq(args.Int("seq"))}
	case "drop":
		return Drop{Reason: strings.ReplaceAll(args.Text("reason"), "-", " ")}
	case "retry":
		return Retry{}
	case "recovered":
		return Recovered{}
	}
	p.t.Fatalf("unknown event %s", name)
	return nil
}

// throughJSON: a state that is written down goes on as if it hadn't been.
func throughJSON(t *testing.T, s State) (again State) {
	t.Helper()
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &again); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(again, s) {
		t.Fatalf("the state %+v comes back as %+v", s, again)
	}
	return again
}

// checkedStep steps and checks the rules of every step.
func checkedStep(t *testing.T, in Input, s State, e Event) (State, []Action) {
	t.Helper()
	before, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	next, actions := Step(in, s, e)
	if after, _ := json.Marshal(s); string(after) != string(before) {
		t.Fatalf("%T changed the state it was given:\n%s\n%s", e, before, after)
	}
	if why := unsound(next); why != "" {
		t.Fatalf("%v with %T%+v: %s: %+v", s.stage(), e, e, why, next)
	}
	checkOwners(t, s, next, actions)
	return next, actions
}

// unsound says why a state can't be; empty if it can.
func unsound(s State) string {
	switch {
	case s.Kept != nil && s.Kept.Phase != Ready:
		return "a standby is kept that isn't ready"
	case s.Kept != nil && s.Kept.Kind == config.StandbyHot && s.Kept.Seq == 0:
		return "a hot standby holds no checkpoint"
	case s.Kept != nil && s.Kept.Kind != config.StandbyHot && s.Kept.Seq != 0:
		return "a warm standby holds a checkpoint"
	case s.Kept != nil && s.Coming != nil && s.Kept.Generation == s.Coming.Generation:
		return "a sandbox takes its own place"
	}
	return ""
}

// checkOwners: every sandbox that the machine lets go of is destroyed, claimed, or
// was never made.
func checkOwners(t *testing.T, before, after State, actions []Action) {
	t.Helper()
	owned := func(s State) map[int]bool {
		out := map[int]bool{}
		for _, p := range []*Standby{s.Kept, s.Coming} {
			if p != nil {
				out[p.Generation] = true
			}
		}
		return out
	}
	now, unmade := owned(after), before.Coming != nil && before.Coming.Phase == Booting
	for generation := range owned(before) {
		given := false
		for _, a := range actions {
			switch a := a.(type) {
			case Destroy:
				given = given || a.Generation == generation
			case Claimed:
				given = given || a.Standby.Generation == generation
			}
		}
		if !now[generation] && !given && !(unmade && before.Coming.Generation == generation) {
			t.Errorf("sandbox %d is lost: %+v", generation, actions)
		}
	}
}

// allEvents has an event of each kind, in the order of eventKind, for sandbox g.
func allEvents(g int) []Event {
	gone := errors.New("sandbox is gone")
	return []Event{
		Reconcile{}, Weighed{Generation: g}, Booted{Generation: g}, Restored{Generation: g, RunTime: time.Second},
		PagesLoaded{Generation: g, Work: time.Millisecond}, Gone{g, gone}, Damaged{g, gone}, Claim{Seq: 2},
		Drop{Reason: "r"}, Retry{}, Recovered{},
	}
}

// TestAllPairs checks every event at every stage against
// testdata/transitions.golden: the stage that follows and the actions' names.
func TestAllPairs(t *testing.T) {
	in := Input{Config: configOf(t, map[string]string{"standby": "hot"}), Now: time.Unix(1700000100, 0).UTC(), Wanted: true, Generation: 2, Head: 2}
	hot := func(g int, phase Phase) *Standby {
		return &Standby{Generation: g, Phase: phase, Kind: config.StandbyHot, Seq: 1, Begun: in.Now, Since: in.Now}
	}
	situations := []struct {
		name string
		s    State
		of   int
	}{
		{"none", State{}, 0},
		{"booting", State{Coming: &Standby{Generation: 2, Phase: Booting, Kind: config.StandbyHot}}, 2},
		{"loading", State{Coming: hot(2, Loading)}, 2},
		{"standing", State{Kept: hot(2, Ready)}, 2},
		{"renewing", State{Kept: hot(2, Ready), Coming: hot(3, Loading)}, 3},
		{"weighing", State{Kept: hot(2, Ready), Weighing: true}, 2},
	}
	var out strings.Builder
	for _, c := range situations {
		events := allEvents(c.of)
		if len(events) != kinds {
			t.Fatal("an event is missing here")
		}
		for i, e := range events {
			if e.kind() != eventKind(i) {
				t.Fatalf("%T is out of order", e)
			}
			next, actions := checkedStep(t, in, c.s, e)
			line := fmt.Sprintf("%-9s %-11s -> %-9v", c.name, reflect.TypeOf(e).Name(), next.stage())
			for _, a := range actions {
				line += " " + reflect.TypeOf(a).Name()
			}
			out.WriteString(strings.TrimSpace(line) + "\n")
		}
	}
	expect.Golden(t, "transitions.golden", out.String())
}

// TestAnyOrder plays random events, whatever their order: no state is unsound, and
// no sandbox is lost.
func TestAnyOrder(t *testing.T) {
	random := uint64(7)
	next := func(n int) int {
		random = random*6364136223846793005 + 1442695040888963407
		return int(random>>33) % n
	}
	for range 300 {
		in := Input{Config: configOf(t, nil), Now: time.Unix(1700000100, 0).UTC(), Generation: 2}
		var s State
		for range 100 {
			in.Now, in.Wanted, in.Head = in.Now.Add(time.Duration(next(2000))*time.Millisecond), next(6) > 0, checkpoint.Seq(next(4))
			events := allEvents(max(2, in.Generation-next(2)-1))
			e := events[next(len(events))]
			if r, ok := e.(Restored); ok && next(4) == 0 {
				r.Err = errors.New("no")
				e = r
			}
			var actions []Action
			s, actions = checkedStep(t, in, s, e)
			for _, a := range actions {
				if _, ok := a.(Boot); ok {
					in.Generation++
				}
			}
		}
	}
}
