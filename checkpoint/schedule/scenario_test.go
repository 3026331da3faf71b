package schedule

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/config"
	"runsc-recover/test/expect"
)

// In scenario files now is a wall time since the beginning, which stays until
// another is given; sizes are in MiB. "config" sets options by their names in
// annotations, "holds" the facts of Input.
func TestScenarios(t *testing.T) {
	expect.Scenarios(t, "testdata/*.txt", 8, func(t *testing.T) func(string, expect.Args) ([]any, fmt.Stringer) {
		p := player{t: t, in: Input{Config: configOf(t, nil), Generation: 1, Runs: true, Pinned: map[checkpoint.Seq]bool{}}}
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
		return nil, p.s.Phase
	case "config":
		p.in.Config = configOf(p.t, args.Values())
		return nil, p.s.Phase
	case "holds":
		p.hold(args)
		return nil, p.s.Phase
	}
	if args.Text("now") != "" {
		p.now = args.Duration("now")
	}
	p.in.Now = time.Unix(1700000000, 0).UTC().Add(p.now)
	var actions []Action
	p.s, actions = checkedStep(p.t, p.in, throughJSON(p.t, p.s), p.event(name, args))
	for _, a := range actions {
		if c, ok := a.(Count); ok {
			p.in.Parent = c.Manifest.Seq
		}
		out = append(out, shown(a))
	}
	return out, p.s.Phase
}

// hold sets the facts that args name.
func (p *player) hold(args expect.Args) {
	for name, value := range args.Values() {
		switch name {
		case "generation":
			p.in.Generation = int(args.Int(name))
		case "parent":
			p.in.Parent = checkpoint.Seq(args.Int(name))
		case "needed":
			p.in.Needed = checkpoint.Seq(args.Int(name))
		case "pinned":
			p.in.Pinned = map[checkpoint.Seq]bool{}
			for _, seq := range args.Ints(name) {
				p.in.Pinned[checkpoint.Seq(seq)] = true
			}
		default:
			field := reflect.ValueOf(&p.in).Elem().FieldByName(strings.ToUpper(name[:1]) + name[1:])
			field.SetBool(value == "true")
		}
	}
}

func (p *player) event(name string, args expect.Args) Event {
	p.t.Helper()
	var err error
	switch text := args.Text("err"); text {
	case "":
	case "full":
		err = fmt.Errorf("publish: %w", checkpoint.ErrFull)
	default:
		err = errors.New(strings.ReplaceAll(text, "-", " "))
	}
	mib := func(name string) int64 { return args.Int(name) << 20 }
	use := Memory{Used: uint64(mib("used")), Limit: uint64(mib("limit"))}
	waiter, purpose := Waiter(args.Int("waiter")), Purpose(args.Text("for"))
	switch name {
	case "began":
		return Began{}
	case "resumed":
		return Resumed{}
	case "released":
		return Released{}
	case "stopped":
		return Stopped{}
	case "due":
		return Due{}
	case "program":
		return ProgramAsked{waiter}
	case "operator":
		return OperatorAsked{waiter}
	case "memory":
		return MemoryRead{Use: use, Err: err}
	case "usage":
		return UsageRead{Usage: checkpoint.Usage{Bytes: mib("bytes"), Live: mib("live")}, Err: err}
	case "removed":
		return Removed{For: purpose, Seqs: seqsOf(args.Ints("seqs")), Failed: seqsOf(args.Ints("failed"))}
	case "compacted":
		return Compacted{For: purpose, Err: err}
	case "taken":
		m := checkpoint.Manifest{Seq: p.s.Last, TakenAt: p.in.Now, Cost: checkpoint.Cost{Stop: args.Duration("pause"), Publish: args.Duration("publish")}}
		m.Pages = checkpoint.Pages{Bytes: mib("pages"), Changed: mib("changed"), Stored: mib("changed")}
		if err != nil {
			m = checkpoint.Manifest{}
		}
		return Taken{Manifest: m, StoppedAt: m.TakenAt, Err: err}
	case "forgotten":
		return Forgotten{seqsOf(args.Ints("seqs"))}
	case "seen":
		return MemorySeen{Use: use, Err: err, At: p.in.Now}
	}
	p.t.Fatalf("unknown event %s", name)
	return nil
}

func seqsOf(numbers []int64) (out []checkpoint.Seq) {
	for _, n := range numbers {
		out = append(out, checkpoint.Seq(n))
	}
	return out
}

// shown is an action with the checkpoint's number in place of its manifest.
func shown(a Action) any {
	switch a := a.(type) {
	case Count:
		type Count struct{ Seq checkpoint.Seq }
		return Count{a.Manifest.Seq}
	case AnswerOperator:
		type AnswerOperator struct {
			Waiters []Waiter
			Seq     checkpoint.Seq
			Err     error
		}
		return AnswerOperator{a.Waiters, a.Manifest.Seq, a.Err}
	}
	return a
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
		t.Fatalf("%v with %T%+v: %s: %+v", s.Phase, e, e, why, next)
	}
	return next, actions
}

// unsound says why a state can't be; empty if it can.
func unsound(s State) string {
	taking := s.Phase == FindingRoom || s.Phase == Shrinking || s.Phase == Taking
	switch {
	case taking && s.Attempt == nil:
		return "there is no attempt in a phase that makes one"
	case (s.Phase == Idle || s.Phase == Waiting) && s.Attempt != nil:
		return "an attempt goes on and nothing is done for it"
	case !slices.IsSortedFunc(s.Kept, func(a, b checkpoint.Manifest) int { return int(a.Seq) - int(b.Seq) }):
		return "the checkpoints aren't in order"
	case len(s.Kept) > 0 && s.Newest() > s.Last:
		return "a number may be used twice"
	case len(s.Recent) > maxRecent || len(s.Program) > maxWaiting:
		return "more is remembered than the bounds allow"
	}
	return ""
}

// allEvents has an event of each kind, in the order of eventKind.
func allEvents() []Event {
	at := time.Unix(1700000100, 0).UTC()
	full := Memory{Used: 990 << 20, Limit: 1000 << 20}
	return []Event{
		Began{}, Resumed{}, Released{}, Stopped{}, Due{}, ProgramAsked{1}, OperatorAsked{2},
		MemoryRead{Use: Memory{Used: 10 << 20, Limit: 1000 << 20}}, UsageRead{}, Removed{For: ForRetention, Seqs: []checkpoint.Seq{1}},
		Compacted{For: ForLimit}, Taken{Manifest: checkpoint.Manifest{Seq: 3, TakenAt: at}}, Forgotten{[]checkpoint.Seq{1}},
		MemorySeen{Use: full, At: at},
	}
}

// TestAllPairs checks every event in every phase against
// testdata/transitions.golden: the phase that follows and the actions' names.
func TestAllPairs(t *testing.T) {
	in := Input{Config: configOf(t, map[string]string{"store-limit": "64MiB", "retain": "1"}), Now: time.Unix(1700000100, 0).UTC(), Generation: 1, Runs: true, Limited: true}
	if len(allEvents()) != kinds {
		t.Fatal("an event is missing here")
	}
	begin := Load([]checkpoint.Manifest{{Seq: 1, TakenAt: in.Now.Add(-time.Minute)}, {Seq: 2, TakenAt: in.Now.Add(-time.Second)}}, nil)
	lead := []Event{nil, Resumed{}, Due{}, allEvents()[kindMemoryRead], UsageRead{}, allEvents()[kindTaken], allEvents()[kindRemoved]}
	var out strings.Builder
	s := begin
	for p, e := range lead {
		if e != nil {
			s, _ = checkedStep(t, in, s, e)
		}
		if s.Phase != Phase(p) {
			t.Fatalf("%T leads to %v, not %v", e, s.Phase, Phase(p))
		}
		for i, e := range allEvents() {
			if e.kind() != eventKind(i) {
				t.Fatalf("%T is out of order", e)
			}
			next, actions := checkedStep(t, in, s, e)
			line := fmt.Sprintf("%-12v %-13s -> %-12v", s.Phase, reflect.TypeOf(e).Name(), next.Phase)
			for _, a := range actions {
				line += " " + reflect.TypeOf(a).Name()
			}
			out.WriteString(strings.TrimSpace(line) + "\n")
		}
	}
	expect.Golden(t, "transitions.golden", out.String())
}

// TestAnyOrder plays random events, whatever their order: no state is unsound, and
// a schedule that has nothing under way is always waiting, or has a reason to
// rest.
func TestAnyOrder(t *testing.T) {
	events := allEvents()
	random := uint64(1)
	next := func(n int) int {
		random = random*6364136223846793005 + 1442695040888963407
		return int(random>>33) % n
	}
	for range 300 {
		in := Input{Config: configOf(t, map[string]string{"store-limit": "64MiB", "retain": "2"}), Now: time.Unix(1700000100, 0).UTC(), Runs: true, Limited: next(2) == 0}
		var s State
		for range 100 {
			in.Now, in.Runs, in.Generation = in.Now.Add(time.Duration(next(1000))*time.Millisecond), next(5) > 0, next(2)
			e := events[next(len(events))]
			if taken, ok := e.(Taken); ok && next(3) == 0 {
				taken.Err, taken.Manifest = checkpoint.ErrFull, checkpoint.Manifest{}
				e = taken
			} else if ok {
				taken.Manifest.Seq = s.Last
				e = taken
			}
			s, _ = checkedStep(t, in, s, e)
		}
	}
}
