// Package trace is the record of a supervisor's decisions in its log: which event
// led to which actions. It encodes, reads and shows events and actions without
// knowing their types:
//
//	{"level":"debug","msg":"event","at":"…","event":{"type":"Booted","generation":1}}
//	{"level":"debug","msg":"action","action":{"type":"Reply","request":1}}
//
// The actions of an event follow it. In a log of text the objects are quoted.
//
// It must not know the meaning of an event, or do I/O but on the reader that it
// is given.
package trace

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

// The messages of a trace's two kinds of records, which are also the names of
// their objects.
const (
	Event  = "event"
	Action = "action"
)

// maxLine bounds a line of a log, in bytes: a failure's data in base64 and the
// manifests of a full store fit.
const maxLine = 16 << 20

// ErrNone: a log holds no trace that can be read.
var ErrNone = errors.New("log holds no trace")

// Object is an event or an action as a log shows it: a JSON object with its
// type's name.
type Object struct{ Value any }

// MarshalJSON implements json.Marshaler.
func (o Object) MarshalJSON() ([]byte, error) {
	b, err := json.Marshal(o.Value)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", o.Value, err)
	}
	head := `{"type":` + strconv.Quote(reflect.TypeOf(o.Value).Name())
	if len(b) == len("{}") {
		return []byte(head + "}"), nil
	}
	return append([]byte(head+","), b[1:]...), nil
}

// MarshalText implements encoding.TextMarshaler, for logs of text.
func (o Object) MarshalText() ([]byte, error) { return o.MarshalJSON() }

// Turn is an event and the actions that it led to.
type Turn struct {
	Line    int // of the log
	At      time.Time
	Event   json.RawMessage
	Actions []json.RawMessage
}

// Read reads the turns of a log, in JSON or text. Other records are passed over.
// Errors: ErrNone.
func Read(r io.Reader) (turns []Turn, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan(); n++ {
		rec, ok := readRecord(lines.Bytes())
		switch {
		case !ok:
		case rec.Msg == Event:
			turns = append(turns, Turn{Line: n, At: rec.At, Event: rec.Event})
		case len(turns) == 0:
			return nil, fmt.Errorf("line %d: %w: an action without an event", n, ErrNone)
		default:
			last := &turns[len(turns)-1]
			last.Actions = append(last.Actions, rec.Action)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read trace: %w", err)
	}
	if len(turns) == 0 {
		return nil, ErrNone
	}
	return turns, nil
}

type record struct {
	Msg    string          `json:"msg"`
	At     time.Time       `json:"at"`
	Event  json.RawMessage `json:"event"`
	Action json.RawMessage `json:"action"`
}

// readRecord returns a record of a trace; false for any other line. The record
// shares nothing with line.
func readRecord(line []byte) (r record, ok bool) {
	line = bytes.TrimSpace(line)
	if bytes.HasPrefix(line, []byte("{")) {
		err := json.Unmarshal(line, &r)
		return r, err == nil && (r.Msg == Event && r.Event != nil || r.Msg == Action && r.Action != nil)
	}
	for _, kind := range []string{Event, Action} {
		_, rest, found := strings.Cut(string(line), " msg="+kind+" ")
		fields, quoted, has := strings.Cut(rest, " "+kind+"=")
		if !has { // a record with no other field
			quoted, has = strings.CutPrefix(rest, kind+"=")
		}
		object, err := strconv.Unquote(quoted)
		if found && has && err == nil && json.Valid([]byte(object)) {
			return textRecord(kind, fields, json.RawMessage(object))
		}
	}
	return r, false
}

func textRecord(kind, fields string, object json.RawMessage) (record, bool) {
	if kind == Action {
		return record{Msg: kind, Action: object}, true
	}
	for field := range strings.FieldsSeq(fields) {
		if at, ok := strings.CutPrefix(field, "at="); ok {
			t, err := time.Parse(time.RFC3339Nano, at)
			return record{Msg: kind, At: t, Event: object}, err == nil
		}
	}
	return record{}, false
}
