// Package soak rolls one container back over and over.
package soak

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"runsc-recover/test/harness"
)

const rounds = 200

// 200 rollbacks in a row, every kind of state compared after each. Their cost
// must not grow: nothing is left behind by a generation that is gone.
func TestRollbacksInARow(t *testing.T) {
	rt := harness.New(t)
	b := rt.Bundle([]string{"/bin/fidelity", "-n", strconv.Itoa(rounds)}, "fidelity")
	c := rt.Start(b.Recover("interval", "24h").Recover("max-rate", "100000"))
	progress := func(round int) func() (bool, string) {
		return func() (bool, string) {
			out := c.Output()
			return strings.Contains(out, "round "+strconv.Itoa(round)+"\n"), out
		}
	}
	began := time.Now()
	harness.Until(t, 3*time.Minute, "the first rollbacks", progress(20))
	early := resources(t, c.Pid)
	harness.Until(t, 5*time.Minute, "nearly all rollbacks", progress(rounds-20))
	late := resources(t, c.Pid)
	c.Exits(0)
	if !strings.Contains(c.Output(), "all as at the checkpoint") || strings.Contains(c.Output(), "not ok") {
		t.Error(c.Output())
	}
	t.Logf("%d rollbacks in %v; the supervisor early on %+v, at the end %+v", rounds, time.Since(began).Round(time.Millisecond), early, late)
	if late.files > early.files+20 {
		t.Errorf("the supervisor's descriptors grew from %d to %d", early.files, late.files)
	}
	if late.children > early.children+3 {
		t.Errorf("the supervisor's children grew from %d to %d", early.children, late.children)
	}
	if late.kilobytes > early.kilobytes+100<<10 {
		t.Errorf("the supervisor's memory grew from %d KiB to %d KiB", early.kilobytes, late.kilobytes)
	}
	compareEpisodes(t, c.Episodes())
}

func compareEpisodes(t *testing.T, episodes []harness.Episode) {
	t.Helper()
	if len(episodes) != rounds {
		t.Errorf("%d episodes, want %d", len(episodes), rounds)
	}
	for i, e := range episodes {
		if e.Outcome != "recovered" || len(e.Attempts) != 1 || e.Code != i+1 {
			t.Errorf("episode %+v", e)
		}
	}
}

// usage counts the resources that a process holds.
type usage struct {
	files, children, kilobytes int
}

func resources(t *testing.T, pid int) usage {
	t.Helper()
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	fds, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil {
		t.Fatal(err)
	}
	u := usage{files: len(fds)}
	tasks, _ := filepath.Glob(filepath.Join(proc, "task", "*", "children"))
	for _, task := range tasks {
		list, _ := os.ReadFile(task)
		u.children += len(strings.Fields(string(list)))
	}
	status, err := os.ReadFile(filepath.Join(proc, "status"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			u.kilobytes, err = strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return u
}
