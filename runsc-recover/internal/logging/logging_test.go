package logging

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"runsc-recover/test/expect"
)

func TestLogIsBounded(t *testing.T) {
	var buf bytes.Buffer
	h := limited(slog.NewTextHandler(&buf, nil))
	derived := h.WithAttrs([]slog.Attr{slog.String("a", "b")}).WithGroup("g")
	start := time.Unix(1000, 0)
	write := func(at time.Duration) {
		for _, h := range []slog.Handler{h, derived} {
			if err := h.Handle(context.Background(), slog.NewRecord(start.Add(at), slog.LevelInfo, "x", 0)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range burst/2 + 5 {
		write(0)
	}
	expect.Equal(t, "burst", strings.Count(buf.String(), "\n"), burst)
	buf.Reset()
	write(3 * time.Second)
	expect.Equal(t, "refilled", strings.Count(buf.String(), "\n"), 2)
	expect.Equal(t, "dropped", strings.Count(buf.String(), "records_dropped=10"), 1)
	buf.Reset()
	write(4 * time.Second)
	expect.Equal(t, "nothing dropped since", strings.Contains(buf.String(), "records_dropped"), false)
}

func TestLogLevelsAreLowerCase(t *testing.T) {
	var buf bytes.Buffer
	for _, make := range []func() (*slog.Logger, error){
		func() (*slog.Logger, error) { return New(&buf, "json", false) },
		func() (*slog.Logger, error) { return NewLimited(&buf, "json", false) },
	} {
		buf.Reset()
		log, err := make()
		if err != nil {
			t.Fatal(err)
		}
		log.Debug("hidden")
		log.Error("broken")
		var rec struct{ Level, Msg string }
		if err := json.Unmarshal(buf.Bytes(), &rec); err != nil {
			t.Fatal(err)
		}
		expect.Equal(t, "level", rec.Level, "error")
		expect.Equal(t, "message", rec.Msg, "broken")
	}
}

func TestUnknownFormat(t *testing.T) {
	for _, format := range []string{"", "xml", "JSON"} {
		if _, err := New(new(bytes.Buffer), format, false); err == nil {
			t.Errorf("%q: accepted", format)
		}
	}
}
