package engine

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"runsc-recover/runsc-recover/internal/api"
	"runsc-recover/runsc-recover/internal/engine/lifecycle"
	"runsc-recover/test/expect"
)

// traced runs a container through most that can happen to one and returns its log.
func traced(t *testing.T, handler func(*bytes.Buffer, *slog.HandlerOptions) slog.Handler) *bytes.Buffer {
	var log bytes.Buffer
	scenario(t, func(t *testing.T) {
		log.Reset()
		w := newWorld(t, hot, func(o *Options) {
			o.Config.Retain, o.Config.MaxAttempts = 3, 3
			o.OOMKills = func() uint64 { return 0 }
			o.Log = slog.New(handler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})).With("container", "web")
		})
		w.start()
		w.run(5 * time.Second)
		w.gen(1).fail(boom())
		w.run(200 * time.Millisecond)
		for range 3 { // until the budget is spent
			w.gen(len(w.gens)).fail(boom())
			w.run(100 * time.Millisecond)
		}
		expect.Equal(t, "pause", w.engine.Pause(t.Context()), nil)
		w.run(3 * time.Second)
		expect.Equal(t, "resume", w.engine.Resume(t.Context()), nil)
		expect.Equal(t, "signal", w.engine.Signal(t.Context(), api.SignalRequest{Signal: 10}), nil)
		w.run(5 * time.Second)
		w.end()
	})
	return &log
}

// TestTraceIsReplayed: with debugging on, the log holds all that is needed to
// repeat every decision, in JSON as in text. -update keeps the log as a golden one
// of package lifecycle.
func TestTraceIsReplayed(t *testing.T) {
	for name, handler := range map[string]func(*bytes.Buffer, *slog.HandlerOptions) slog.Handler{
		"json": func(b *bytes.Buffer, o *slog.HandlerOptions) slog.Handler { return slog.NewJSONHandler(b, o) },
		"text": func(b *bytes.Buffer, o *slog.HandlerOptions) slog.Handler { return slog.NewTextHandler(b, o) },
	} {
		t.Run(name, func(t *testing.T) {
			log := traced(t, handler)
			if *expect.Update {
				file := "lifecycle/testdata/trace." + name
				if err := os.WriteFile(file, log.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			turns, err := lifecycle.ReadTrace(log)
			if err != nil {
				t.Fatal(err)
			}
			if len(turns) < 100 {
				t.Errorf("there were only %d turns", len(turns))
			}
			if err := lifecycle.Replay(turns); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestRecorderKeepsOrder: jobs are done one after the other, in the order in which
// they were given, and giving one never waits for another.
func TestRecorderKeepsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		var done []string
		for i := range 5 {
			r.do(func() {
				time.Sleep(time.Second)
				done = append(done, fmt.Sprint(i))
			})
		}
		began := time.Now()
		r.finish()
		expect.Equal(t, "done", strings.Join(done, " "), "0 1 2 3 4")
		expect.Equal(t, "took", time.Since(began), 5*time.Second)
	})
}

// TestClockIsEven: times are even and as good as new when they come back from a
// log.
func TestClockIsEven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClock()
		a := c.now()
		time.Sleep(time.Second)
		b := c.now()
		expect.Equal(t, "apart", b.Sub(a), time.Second)
		text, err := b.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var again time.Time
		if err := again.UnmarshalText(text); err != nil {
			t.Fatal(err)
		}
		expect.Equal(t, "from a log", again.Sub(a), time.Second)
		expect.Equal(t, "for people", c.wall(a).Equal(time.Now().Add(-time.Second)), true)
	})
}
