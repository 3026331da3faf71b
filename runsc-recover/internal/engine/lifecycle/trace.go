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
		e, err := event.Decode(t.Event)
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
