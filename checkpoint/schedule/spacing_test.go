package schedule

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"runsc-recover/checkpoint"
)

func TestNext(t *testing.T) {
	cost := func(pause, publish time.Duration) checkpoint.Cost {
		return checkpoint.Cost{Stop: pause / 4, Kernel: pause / 4, Copy: pause / 2, Publish: publish}
	}
	const ms = time.Millisecond
	for _, tc := range []struct {
		name   string
		in     SpacingInput
		want   time.Duration
		reason string
	}{
		{"first", SpacingInput{Interval: time.Second, MaxOverhead: 0.05}, time.Second, "configured"},
		{"cheap", SpacingInput{Interval: time.Second, MaxOverhead: 0.05, Recent: []checkpoint.Cost{cost(20*ms, 0)}},
			time.Second, "configured"},
		{"dear", SpacingInput{Interval: time.Second, MaxOverhead: 0.05, Recent: []checkpoint.Cost{cost(200*ms, 0)}},
			4 * time.Second, "cost 200ms each and may take 5% of the time"},
		{"publishing counts a quarter", SpacingInput{Interval: time.Second, MaxOverhead: 0.05,
			Recent: []checkpoint.Cost{cost(100*ms, 400*ms)}}, 4 * time.Second, "stretched"},
		{"the last one is dearest", SpacingInput{Interval: time.Second, MaxOverhead: 0.1,
			Recent: []checkpoint.Cost{cost(100*ms, 0), cost(100*ms, 0), cost(400*ms, 0)}}, 4 * time.Second, "stretched"},
		{"the last one is cheapest", SpacingInput{Interval: time.Second, MaxOverhead: 0.1,
			Recent: []checkpoint.Cost{cost(400*ms, 0), cost(400*ms, 0), cost(100*ms, 0)}}, 3 * time.Second, "stretched"},
		{"bounded", SpacingInput{Interval: time.Second, MaxOverhead: 0.001,
			Recent: []checkpoint.Cost{cost(100*time.Hour, 0)}}, 24 * time.Hour, "stretched"},
		{"one failure", SpacingInput{Interval: time.Second, MaxOverhead: 0.05, Failures: 1}, 2 * time.Second, "after 1"},
		{"three failures", SpacingInput{Interval: time.Second, MaxOverhead: 0.05, Failures: 3}, 8 * time.Second, "after 3"},
		{"many failures", SpacingInput{Interval: time.Second, MaxOverhead: 0.05, Failures: 1 << 30}, time.Minute, "after"},
		{"failures of a rare one", SpacingInput{Interval: time.Hour, MaxOverhead: 0.05, Failures: 3}, time.Hour, "after 3"},
		{"failures of a dear one", SpacingInput{Interval: time.Second, MaxOverhead: 0.05, Failures: 2,
			Recent: []checkpoint.Cost{cost(200*ms, 0)}}, 16 * time.Second, "after 2"},
	} {
		delay, reason := Next(tc.in)
		if delay.Round(time.Microsecond) != tc.want || !strings.Contains(reason, tc.reason) {
			t.Errorf("%s: got %v, %q; want %v, …%s…", tc.name, delay, reason, tc.want, tc.reason)
		}
	}
}

// TestOverheadStaysWithinBounds: whatever checkpoints turn out to cost, their
// share of the whole run stays within the share allowed.
func TestOverheadStaysWithinBounds(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		in := SpacingInput{Interval: time.Second, MaxOverhead: 0.001 + random.Float64()/5}
		var ran, paid time.Duration
		for range 200 {
			cost := checkpoint.Cost{Copy: time.Duration(random.ExpFloat64() * float64(300*time.Millisecond))}
			if in.Recent = append(in.Recent, cost); len(in.Recent) > 8 {
				in.Recent = in.Recent[1:]
			}
			delay, _ := Next(in)
			ran += delay
			paid += Burden(cost)
		}
		if share := float64(paid) / float64(ran); share > in.MaxOverhead*1.0001 {
			t.Errorf("the share is %.4f, allowed is %.4f", share, in.MaxOverhead)
		}
	}
}
