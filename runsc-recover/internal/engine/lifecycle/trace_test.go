package lifecycle

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"runsc-recover/checkpoint/trace"
)

// TestGoldenTraces replays logs of containers that ran: the decisions of then are
// those of now. A change of a decision is written down by -update, in the engine's
// tests first.
func TestGoldenTraces(t *testing.T) {
	files, err := filepath.Glob("testdata/trace.*")
	if err != nil || len(files) < 2 {
		t.Fatalf("found %d logs: %v", len(files), err)
	}
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		turns, err := ReadTrace(f)
		f.Close()
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if err := Replay(turns); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		// A log that says something else is told apart.
		turns[len(turns)/2].Actions = append(turns[len(turns)/2].Actions, `{"type":"Save"}`)
		if Replay(turns) == nil {
			t.Errorf("%s: an action more was not noticed", file)
		}
	}
}

func TestReadTraceRefuses(t *testing.T) {
	opened := `{"msg":"event","at":"2026-01-01T00:00:00Z","event":{"type":"Opened","request":1}}` + "\n"
	for name, log := range map[string]string{
		"an empty log":            "",
		"another log":             `{"level":"info","msg":"copy runs"}` + "\nplain text\n",
		"an action alone":         `{"msg":"action","action":{"type":"Save"}}`,
		"an unknown event":        opened + `{"msg":"event","at":"2026-01-01T00:00:00Z","event":{"type":"Nosuch"}}`,
		"an event of wrong shape": opened + `{"msg":"event","at":"2026-01-01T00:00:00Z","event":{"type":"Booted","generation":"x"}}`,
		"no beginning":            `{"msg":"event","at":"2026-01-01T00:00:00Z","event":{"type":"Booted","generation":1}}`,
		"text without a time":     `time=x level=debug msg=event at=yesterday event="{\"type\":\"Opened\"}"`,
	} {
		if _, err := ReadTrace(strings.NewReader(log)); !errors.Is(err, ErrTrace) && !errors.Is(err, trace.ErrNone) {
			t.Errorf("%s: %v", name, err)
		}
	}
	turns, err := ReadTrace(strings.NewReader("noise\n" + opened + "{\n"))
	if err != nil || len(turns) != 1 {
		t.Errorf("noise beside: %d turns, %v", len(turns), err)
	}
}

func FuzzReadTrace(f *testing.F) {
	f.Add(`{"msg":"event","at":"2026-01-01T00:00:00Z","event":{"type":"Opened","request":1}}`)
	f.Add(`time=x level=debug msg=event at=2026-01-01T00:00:00Z event="{\"type\":\"Opened\"}"`)
	f.Fuzz(func(t *testing.T, log string) {
		turns, err := ReadTrace(strings.NewReader(log))
		if err == nil && len(turns) == 0 {
			t.Error("no turns and no error")
		}
	})
}
