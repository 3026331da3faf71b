package trace

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"runsc-recover/test/expect"
)

type Happened struct {
	Key  uint64        `json:"key"`
	Took time.Duration `json:"took_ns"`
	At   time.Time     `json:"at"`
	Text string        `json:"text"`
	None int           `json:"none"`
	Deep struct {
		On bool `json:"on"`
	} `json:"deep"`
}

type Done struct{}

// TestReadsBothFormats: events and actions come back from a log of either format,
// whatever else is in it.
func TestReadsBothFormats(t *testing.T) {
	at := time.Unix(1700000000, 5).UTC()
	happened := Happened{Key: 1<<64 - 1, Took: time.Second, At: at.Add(time.Minute), Text: "a \"quoted\"\nline"}
	happened.Deep.On = true
	for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
		"json": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
		"text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
	} {
		var log bytes.Buffer
		l := slog.New(handler(&log))
		for _, l := range []*slog.Logger{l, l.With("container", "event=x")} {
			l.Info("copy runs")
			l.Info(Event, "at", at.Format(time.RFC3339Nano), Event, Object{happened})
			l.Info(Action, Action, Object{Done{}})
		}
		turns, err := Read(&log)
		if err != nil || len(turns) != 2 {
			t.Fatalf("%s: %d turns, %v", name, len(turns), err)
		}
		for _, turn := range turns {
			expect.Equal(t, name+": at", turn.At, at)
			expect.Equal(t, name+": event", Line(turn.Event, at),
				`Happened at=+1m0s deep.on key=18446744073709551615 text="a \"quoted\"\nline" took=1s`)
			expect.Equal(t, name+": actions", len(turn.Actions), 1)
			expect.Equal(t, name+": action", string(turn.Actions[0]), `{"type":"Done"}`)
		}
		var out strings.Builder
		expect.Equal(t, name+": shown", Show(&out, turns), nil)
		expect.Equal(t, name+": lines", strings.Count(out.String(), "\n"), 4)
	}
}

func TestReadRefuses(t *testing.T) {
	for name, log := range map[string]string{
		"an empty log":        "",
		"another log":         `{"level":"info","msg":"copy runs"}` + "\nplain text\n",
		"an action alone":     `{"msg":"action","action":{"type":"Save"}}`,
		"text without a time": `time=x level=debug msg=event event="{\"type\":\"Opened\"}"`,
		"text that isn't one": `time=x level=debug msg=event at=2026-01-01T00:00:00Z event="{"`,
	} {
		if _, err := Read(strings.NewReader(log)); !errors.Is(err, ErrNone) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(`{"msg":"event","at":"2026-01-01T00:00:00Z","event":{"type":"Opened","request":1}}`)
	f.Add(`time=x level=debug msg=event at=2026-01-01T00:00:00Z event="{\"type\":\"Opened\"}"`)
	f.Fuzz(func(t *testing.T, log string) {
		turns, err := Read(strings.NewReader(log))
		if err == nil {
			Show(&strings.Builder{}, turns)
		}
	})
}
