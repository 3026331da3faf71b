package lifecycle

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// The messages of the two kinds of records that a trace is made of, in the
// supervisor's log:
//
//	{"level":"debug","msg":"event","at":"…","event":{"type":"Booted","generation":1}}
//	{"level":"debug","msg":"action","action":{"type":"Reply","request":1}}
//
// The actions of an event follow it. In a log of text the objects are quoted.
const (
	MessageEvent  = "event"
	MessageAction = "action"
)

// maxTraceLine bounds a line of a log, in bytes: a failure's data in base64 and
// the manifests of a full store fit.
const maxTraceLine = 16 << 20

// ErrTrace: a log holds no trace that can be replayed.
var ErrTrace = errors.New("log holds no trace that can be replayed")

// Traced is an event or an action as a log shows it: a JSON object with its type.
type Traced struct{ Value any }

// MarshalJSON implements json.Marshaler.
func (t Traced) MarshalJSON() ([]byte, error) {
	b, err := json.Marshal(t.Value)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", t.Value, err)
	}
	head := `{"type":` + strconv.Quote(reflect.TypeOf(t.Value).Name())
	if len(b) == len("{}") {
		return []byte(head + "}"), nil
	}
	return append([]byte(head+","), b[1:]...), nil
}

// MarshalText implements encoding.TextMarshaler, for logs of text.
func (t Traced) MarshalText() ([]byte, error) { return t.MarshalJSON() }

// Turn is an event and the actions that it led to, each a JSON object.
type Turn struct {
	At      time.Time
	Event   Event
	Actions []string
}

// ReadTrace reads the turns of a supervisor's log, in JSON or text. Other records
// are passed over. Errors: ErrTrace.
func ReadTrace(r io.Reader) (turns []Turn, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxTraceLine)
	for n := 1; lines.Scan(); n++ {
		record, ok := readRecord(lines.Bytes())
		switch {
		case !ok:
		case record.Msg == MessageEvent:
			e, err := decodeEvent(record.Event)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w: %w", n, ErrTrace, err)
			}
			turns = append(turns, Turn{At: record.At, Event: e})
		case len(turns) == 0:
			return nil, fmt.Errorf("line %d: %w: an action without an event", n, ErrTrace)
		default:
			last := &turns[len(turns)-1]
			last.Actions = append(last.Actions, string(record.Action))
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read trace: %w", err)
	}
	if len(turns) == 0 {
		return nil, ErrTrace
	}
	if _, ok := turns[0].Event.(Opened); !ok {
		return nil, fmt.Errorf("%w: it doesn't begin with Opened", ErrTrace)
	}
	return turns, nil
}

type traceRecord struct {
	Msg    string          `json:"msg"`
	At     time.Time       `json:"at"`
	Event  json.RawMessage `json:"event"`
	Action json.RawMessage `json:"action"`
}

// readRecord returns a record of a trace; false for any other line.
func readRecord(line []byte) (r traceRecord, ok bool) {
	if line = bytes.TrimSpace(line); len(line) == 0 {
		return r, false
	}
	if line[0] == '{' {
		err := json.Unmarshal(line, &r)
		return r, err == nil && (r.Msg == MessageEvent && r.Event != nil || r.Msg == MessageAction && r.Action != nil)
	}
	text := string(line)
	for _, kind := range []string{MessageEvent, MessageAction} {
		_, rest, found := strings.Cut(text, " msg="+kind+" ")
		_, quoted, has := strings.Cut(rest, " "+kind+"=")
		if !found || !has {
			continue
		}
		object, err := strconv.Unquote(quoted)
		if err != nil {
			return r, false
		}
		r.Msg = kind
		if kind == MessageAction {
			r.Action = json.RawMessage(object)
			return r, true
		}
		r.Event = json.RawMessage(object)
		_, at, _ := strings.Cut(rest, "at=")
		at, _, _ = strings.Cut(at, " ")
		r.At, err = time.Parse(time.RFC3339Nano, at)
		return r, err == nil
	}
	return r, false
}

func decodeEvent(b []byte) (Event, error) {
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
		return v.Elem().Interface().(Event), nil
	}
	return nil, fmt.Errorf("unknown event %q", head.Type)
}

// everyEvent has one of each type.
func everyEvent() []Event {
	return []Event{
		Opened{}, StartAsked{}, SignalAsked{}, ForegroundAsked{}, PauseAsked{}, FailAsked{}, CheckpointAsked{},
		SandboxAsked{}, RequestDropped{}, Looked{}, MemoryLimitChanged{}, CheckpointForgotten{}, ShutdownAsked{}, Failed{}, CheckpointRequested{},
		Resolved{}, Exited{}, DamageFound{}, Closed{}, TimerFired{}, Booted{}, StartPrepared{}, ProgramStarted{},
		NetworkRead{}, Restored{}, PagesLoaded{}, Released{}, Restarted{}, Destroyed{}, Refused{}, FailureCaused{},
		SignalSent{}, PauseChanged{}, MemorySet{}, CheckpointTaken{}, CheckpointsRemoved{}, StoreCompacted{}, UsageRead{},
		MemoryRead{}, MemorySeen{}, StandbyWeighed{}, OOMKillsRead{},
	}
}

// Replay steps a new Lifecycle through the turns of a log, and returns an error
// that names the first turn whose actions are others than the log says.
func Replay(turns []Turn) error {
	var l Lifecycle
	for n, turn := range turns {
		var got []string
		for _, a := range l.Step(turn.At, turn.Event) {
			b, err := json.Marshal(Traced{a})
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
