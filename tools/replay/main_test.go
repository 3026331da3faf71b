package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"runsc-recover/checkpoint/trace"
	"runsc-recover/test/expect"
)

const golden = "../../runsc-recover/internal/engine/lifecycle/testdata/"

// TestShowsLogs: a log is shown the same whether it is JSON or text.
func TestShowsLogs(t *testing.T) {
	var shown [2]strings.Builder
	for i, kind := range []string{"json", "text"} {
		if err := run(golden+"trace."+kind, &shown[i]); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"0.000000  Opened", "Boot first generation=1", "BeginEpisode", "EndEpisode"} {
			if !strings.Contains(shown[i].String(), want) {
				t.Errorf("%s: %q is missing", kind, want)
			}
		}
	}
	expect.Equal(t, "events", strings.Count(shown[0].String(), "Failed generation="), strings.Count(shown[1].String(), "Failed generation="))
}

func TestRefusesOtherFiles(t *testing.T) {
	other := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(other, []byte(`{"msg":"copy runs"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(other, &strings.Builder{}); !errors.Is(err, trace.ErrNone) {
		t.Errorf("a log without a trace: %v", err)
	}
	if err := run(other+".gone", &strings.Builder{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}
