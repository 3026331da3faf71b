package lifecycle

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"

	"runsc-recover/checkpoint/trace"
	"runsc-recover/runsc-recover/internal/engine/event"
)

// ErrTrace: a log's trace can't be replayed.
var ErrTrace = errors.New("trace can't be replayed")

// Turn is an event and the actions that it led to, each a JSON object.
type Turn struct {
	At      time.Time
	Event   event.Event
	Actions []string
}

// ReadTrace reads the turns of a supervisor's log. Errors: ErrTrace, trace.ErrNone.
func ReadTrace(r io.Reader) ([]Turn, error) {
	read, err := trace.Read(r)
	if err != nil {
		return nil, err
	}
	var turns []Turn
	for _, t := range read {
		e, err := decodeEvent(t.Event)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w: %w", t.Line, ErrTrace, err)
		}
		turn := Turn{At: t.At, Event: e}
		for _, a := range t.Actions {
			turn.Actions = append(turn.Actions, string(a))
		}
		turns = append(turns, turn)
	}
	if _, ok := turns[0].Event.(event.Opened); !ok {
		return nil, fmt.Errorf("%w: the first event isn't Opened", ErrTrace)
	}
	return turns, nil
}

func decodeEvent(b []byte) (event.Event, error) {
	var head struct{ Type string }
	if err := json.Unmarshal(b, &head); err != nil {
		return nil, err
	}
	for _, e := range everyEvent() {
		t := reflect.TypeOf(e)
		if t.Name() != head.Type {
			continue
		}
		v := reflect.New(t)
		if err := json.Unmarshal(b, v.Interface()); err != nil {
			return nil, err
		}
		return v.Elem().Interface().(event.Event), nil
	}
	return nil, fmt.Errorf("unknown event %q", head.Type)
}

// everyEvent has an event of each type.
func everyEvent() []event.Event {
	return []event.Event{
		event.Opened{}, event.StartAsked{}, event.SignalAsked{}, event.ForegroundAsked{}, event.PauseAsked{}, event.FailAsked{}, event.CheckpointAsked{},
		event.SandboxAsked{}, event.RequestDropped{}, event.Looked{}, event.MemoryLimitChanged{}, event.CheckpointForgotten{}, event.ShutdownAsked{}, event.Failed{}, event.CheckpointRequested{},
		event.Resolved{}, event.Exited{}, event.DamageFound{}, event.Closed{}, event.TimerFired{}, event.Booted{}, event.StartPrepared{}, event.ProgramStarted{},
		event.NetworkRead{}, event.Restored{}, event.PagesLoaded{}, event.Released{}, event.Restarted{}, event.Destroyed{}, event.Refused{}, event.FailureCaused{},
		event.SignalSent{}, event.PauseChanged{}, event.MemorySet{}, event.CheckpointTaken{}, event.CheckpointsRemoved{}, event.StoreCompacted{}, event.UsageRead{},
		event.MemoryRead{}, event.MemorySeen{}, event.StandbyWeighed{}, event.OOMKillsRead{},
	}
}

// Replay steps a new Lifecycle through the turns of a log, and returns an error
// that names the first turn whose actions are others than the log says.
func Replay(turns []Turn) error {
	var l Lifecycle
	for n, turn := range turns {
		var got []string
		for _, a := range l.Step(turn.At, turn.Event) {
			b, err := json.Marshal(trace.Object{Value: a})
			if err != nil {
				return err
			}
			got = append(got, string(b))
		}
		if !reflect.DeepEqual(got, turn.Actions) {
			return fmt.Errorf("turn %d: %T leads to\n\t%s\nthe log has\n\t%s", n+1, turn.Event, strings.Join(got, "\n\t"), strings.Join(turn.Actions, "\n\t"))
		}
	}
	return nil
}
