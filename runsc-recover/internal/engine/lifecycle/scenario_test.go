package lifecycle

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"runsc-recover/checkpoint/config"
	"runsc-recover/checkpoint/trace"
	"runsc-recover/runsc-recover/internal/engine/action"
	"runsc-recover/runsc-recover/internal/engine/event"
	"runsc-recover/runsc-recover/internal/engine/fault"
	"runsc-recover/test/expect"
)

// In scenario files an event is its type's name with fields by their names in
// logs; a dot parts the fields of a field, and fields of the engine's times are
// durations since the beginning, as is now, which stays until another is given.
// err is an error's text, and the sentinel of that name. "config" sets options by
// their names in annotations, and must come before Opened.
func TestScenarios(t *testing.T) {
	expect.Scenarios(t, "testdata/*.txt", 14, func(t *testing.T) func(string, expect.Args) ([]any, fmt.Stringer) {
		p := player{t: t, cfg: map[string]string{"standby": "cold", "interval": "1s"}}
		return p.play
	})
}

var beginning = time.Unix(1700000000, 0).UTC()

type player struct {
	t   *testing.T
	cfg map[string]string
	now time.Duration
	l   Lifecycle
}

// shown is an action as a scenario file shows it.
type shown string

func (s shown) String() string { return string(s) }

func (p *player) play(name string, args expect.Args) (out []any, _ fmt.Stringer) {
	switch name {
	case "":
		return nil, p.l.recovery.Phase
	case "config":
		maps.Copy(p.cfg, args.Values())
		return nil, p.l.recovery.Phase
	}
	if args.Text("now") != "" {
		p.now = args.Duration("now")
	}
	object := map[string]any{"type": name}
	for key, value := range args.Values() {
		if key != "now" {
			set(object, strings.Split(key, "."), fieldOf(key, value))
		}
	}
	b, err := json.Marshal(object)
	if err != nil {
		p.t.Fatal(err)
	}
	e, err := event.Decode(b)
	if err != nil {
		p.t.Fatalf("%s: %v", b, err)
	}
	if o, ok := e.(event.Opened); ok {
		if o.Config, err = config.Parse(p.cfg); err != nil {
			p.t.Fatal(err)
		}
		e = o
	}
	for _, a := range p.l.Step(beginning.Add(p.now), e) {
		out = append(out, show(p.t, a))
	}
	return out, p.l.recovery.Phase
}

func set(object map[string]any, path []string, value any) {
	if len(path) == 1 {
		object[path[0]] = value
		return
	}
	inner, ok := object[path[0]].(map[string]any)
	if !ok {
		inner = make(map[string]any)
		object[path[0]] = inner
	}
	set(inner, path[1:], value)
}

// fieldOf is a field's value as JSON has it.
func fieldOf(key, value string) any {
	d, isDuration := time.Duration(0), false
	if parsed, err := time.ParseDuration(value); err == nil {
		d, isDuration = parsed, true
	}
	switch {
	case key == "err":
		return fault.Fault{Text: value, Is: []string{value}}
	case isDuration && strings.HasSuffix(key, "_ns"):
		return d
	case isDuration && (key == "at" || strings.HasSuffix(key, "_at")):
		return beginning.Add(d)
	case json.Valid([]byte(value)):
		return json.RawMessage(value)
	}
	return value
}

// show writes an action's fields that say something.
func show(t *testing.T, a action.Action) shown {
	b, err := json.Marshal(trace.Object{Value: a})
	if err != nil {
		t.Fatal(err)
	}
	return shown(trace.Line(b, beginning))
}
