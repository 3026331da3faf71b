package logging

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"runsc-recover/test/expect"
)

func TestLogIsBounded(t *testing.T) {
	var buf bytes.Buffer
	h := limitLog(slog.NewTextHandler(&buf, nil))
	log := slog.New(h)
	for range logBurst + 10 {
		log.Info("x")
	}
	if n := strings.Count(buf.String(), "\n"); n < logBurst || n > logBurst+5 {
		t.Errorf("%d records", n)
	}
	l := logLimit{tokens: 0, filled: time.Unix(0, 0), dropped: 7}
	ok, dropped := l.take(time.Unix(5, 0))
	expect.Equal(t, "refilled", ok, true)
	expect.Equal(t, "dropped", dropped, 7)
}

func TestLogLevelsAreLowerCase(t *testing.T) {
	var buf bytes.Buffer
	New(&buf, "json", false).Error("broken")
	var rec struct{ Level, Msg string }
	if err := json.Unmarshal(buf.Bytes(), &rec); err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "level", rec.Level, "error")
	expect.Equal(t, "message", rec.Msg, "broken")
}
