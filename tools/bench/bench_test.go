package main

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
)

func TestQuantile(t *testing.T) {
	ten := sample{7, 1, 9, 3, 10, 2, 8, 4, 6, 5}
	for _, c := range []struct {
		s    sample
		q    float64
		want float64
	}{
		{ten, 0, 1}, {ten, 0.5, 5}, {ten, 0.9, 9}, {ten, 0.91, 10}, {ten, 0.99, 10}, {ten, 1, 10},
		{sample{4}, 0.5, 4}, {sample{4}, 0.99, 4},
		{sample{2, 1, 3}, 0.5, 2},
	} {
		if got := c.s.quantile(c.q); got != c.want {
			t.Errorf("quantile %v of %v is %v, want %v", c.q, c.s, got, c.want)
		}
	}
	if !math.IsNaN(sample{}.median()) {
		t.Error("an empty sample has a median")
	}
	if ten[0] != 7 {
		t.Error("quantile sorted its sample")
	}
}

func TestGapsOfACheckpoint(t *testing.T) {
	gaps, tick, err := parseGaps("ready\ngap 100 50\ntick 180\ngap 200 30\ngap 900 700\ntick 1700\n")
	if err != nil || tick != 1700 || !slices.Equal(gaps, []gap{{100, 50}, {200, 30}, {900, 700}}) {
		t.Fatalf("parseGaps: %v, %d, %v", gaps, tick, err)
	}
	for _, c := range []struct{ start, end, want int64 }{
		{0, 100, 0},       // ends where a gap begins
		{150, 200, 0},     // between two gaps
		{149, 201, 50},    // touches both, the longer counts
		{220, 225, 30},    // inside of one
		{0, 5000, 700},    // all of them
		{1600, 1700, 0},   // begins where one ends
		{1599, 1700, 700}, // begins before
	} {
		if got := longest(gaps, c.start, c.end); got != c.want {
			t.Errorf("longest from %d to %d is %d, want %d", c.start, c.end, got, c.want)
		}
	}
	for _, bad := range []string{"gap 1\n", "gap x y\n", "tick\n"} {
		if _, _, err := parseGaps(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestHandlersAreCountedOnce(t *testing.T) {
	s, err := parseHandlers("ready\nhandler 1 2000000\nhandler 1 9000000\nhandler 3 1500000\ndone\n")
	if err != nil || !slices.Equal(s, sample{2, 1.5}) {
		t.Errorf("parseHandlers: %v, %v", s, err)
	}
	if _, err := parseHandlers("handler 1\n"); err == nil {
		t.Error("half a line was read")
	}
}

func TestRedisBenchmarksTable(t *testing.T) {
	w := way{results: map[string]sample{}}
	text := "\"test\",\"rps\",\"avg_latency_ms\"\n\"SET\",\"1000.50\",\"1\"\n\"GET\",\"2000\",\"1\"\n"
	if err := w.addBenchmark(text); err != nil || w.results["SET"].median() != 1000.5 || w.results["GET"].median() != 2000 {
		t.Errorf("%v, %v", w.results, err)
	}
	for _, bad := range []string{"", "\"test\",\"rps\"\n", "a,b\nSET,x\nGET,y\n"} {
		if err := w.addBenchmark(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestGoalsFollowFromTheirFigures(t *testing.T) {
	for _, c := range []struct {
		goal goal
		want string
	}{
		{atMost("p50", 4.9, 5), "p50 4.90 ≤ 5: met"},
		{atMost("p50", 5, 5), "p50 5 ≤ 5: met"},
		{atMost("p50", 5.1, 5), "p50 5.10 ≤ 5: missed"},
		{atLeast("times", 100, 100), "times 100 ≥ 100: met"},
		{atLeast("times", 99, 100), "times 99 ≥ 100: missed"},
		{atMost("of nothing", math.NaN(), 1), "of nothing unknown ≤ 1: missed"},
	} {
		if got := c.goal.String(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestStoredCountsEveryFile(t *testing.T) {
	var m manifest
	text := `{"seq": 3, "cost": {"stop_ns": 1, "kernel_ns": 2, "copy_ns": 4},
		"files": [{"name": "kernel", "bytes": 100}, {"name": "index", "bytes": 20}],
		"pages": {"changed_bytes": 1000, "stored_bytes": 3}}`
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatal(err)
	}
	if m.stored() != 123 || m.pause() != 7 || m.allowance() != 1200+300*kib {
		t.Errorf("stored %d, pause %d, allowance %v", m.stored(), m.pause(), m.allowance())
	}
}

func TestMeasurementsAreChosenByWord(t *testing.T) {
	if all, err := choose(""); err != nil || len(all) != len(measurements()) {
		t.Errorf("choose all: %d, %v", len(all), err)
	}
	if some, err := choose("redis"); err != nil || len(some) != 2 {
		t.Errorf("choose redis: %d, %v", len(some), err)
	}
	if some, err := choose("redis,pause"); err != nil || len(some) != 6 {
		t.Errorf("choose redis and pause: %d, %v", len(some), err)
	}
	if _, err := choose("?"); err == nil || !strings.Contains(err.Error(), "compute loop in C") {
		t.Errorf("choose nothing: %v", err)
	}
}

func TestTable(t *testing.T) {
	r := report{Machine: machine{CPU: "a CPU", CPUs: 2, Versions: map[string]string{"runsc": "1"}}}
	r.compare("pause", "ms", sample{10, 20, 30}, "runsc", sample{40, 40, 40}, atMost("of runsc's", 0.5, 0.7))
	r.ours("wrong", "", sample{0})
	r.leaveOut("redis", "it is not installed", atMost("p50", math.NaN(), 5))
	var out strings.Builder
	if err := r.table(&out); err != nil {
		t.Fatal(err)
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
	text := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{"pause 20 3 ms runsc 40 3 0.50 of runsc's 0.50 ≤ 0.70: met", "wrong 0 1", "left out: redis: it is not installed p50 unknown ≤ 5: missed"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}
