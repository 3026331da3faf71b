package schedule

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/test/expect"
)

var epoch = time.Unix(1700000000, 0).UTC()

// at is a checkpoint taken so long after the epoch.
func at(seq checkpoint.Seq, after time.Duration) checkpoint.Manifest {
	return checkpoint.Manifest{Seq: seq, TakenAt: epoch.Add(after)}
}

func every(interval time.Duration, n int) []checkpoint.Manifest {
	var out []checkpoint.Manifest
	for i := range n {
		out = append(out, at(checkpoint.Seq(i+1), time.Duration(i)*interval))
	}
	return out
}

func TestRetainGolden(t *testing.T) {
	for _, tc := range []struct {
		name      string
		manifests []checkpoint.Manifest
		n         int
		pinned    map[checkpoint.Seq]bool
	}{
		{"none", nil, 8, nil},
		{"fewer", every(time.Second, 3), 8, nil},
		{"one-too-many", every(time.Second, 9), 8, nil},
		{"many", every(time.Second, 24), 8, nil},
		{"keep-one", every(time.Second, 5), 1, nil},
		{"keep-two", every(time.Second, 5), 2, nil},
		{"pinned", every(time.Second, 20), 4, map[checkpoint.Seq]bool{1: true, 5: true, 6: true, 7: true, 99: true}},
		{"all-pinned", every(time.Second, 4), 2, map[checkpoint.Seq]bool{1: true, 2: true, 3: true, 4: true}},
		{"same-moment", every(0, 10), 4, nil},
		{"clock-set-back", append(every(time.Second, 5), at(6, -time.Hour), at(7, -time.Hour+time.Second)), 4, nil},
		{"burst", append(every(10*time.Second, 6), at(7, 50001*time.Millisecond), at(8, 50002*time.Millisecond), at(9, 50003*time.Millisecond)), 6, nil},
		{"after-a-night", append(every(time.Second, 8), at(9, 8*time.Hour), at(10, 8*time.Hour+time.Second)), 6, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			now := epoch
			if last := len(tc.manifests) - 1; last >= 0 {
				now = tc.manifests[last].TakenAt
			}
			keep, drop := Retain(now, tc.manifests, tc.n, tc.pinned)
			expect.Golden(t, "retain-"+tc.name+".golden", describe("keep", keep)+describe("drop", drop))
		})
	}
}

func describe(verdict string, decisions []Decision) string {
	var out strings.Builder
	for _, d := range decisions {
		fmt.Fprintf(&out, "%s %d: %s\n", verdict, d.Seq, strings.Join(d.Reasons, "; "))
	}
	return out.String()
}

// simulate takes a checkpoint after each of delays and retains n at once. check
// gets the ages of the checkpoints kept, the newest first, and the time since the
// beginning.
func simulate(n int, delays []time.Duration, check func(ages []time.Duration, since time.Duration)) {
	var held []checkpoint.Manifest
	since := time.Duration(0)
	for i, d := range delays {
		since += d
		held = append(held, at(checkpoint.Seq(i+1), since))
		_, drop := Retain(epoch.Add(since), held, n, nil)
		held = slices.DeleteFunc(held, func(m checkpoint.Manifest) bool {
			return slices.ContainsFunc(drop, func(d Decision) bool { return d.Seq == m.Seq })
		})
		var ages []time.Duration
		for _, m := range slices.Backward(held) {
			ages = append(ages, epoch.Add(since).Sub(m.TakenAt))
		}
		check(ages, since)
	}
}

// TestRetainSpreadsAges: after any time, the ages of the checkpoints kept grow
// geometrically, and one of them is old.
func TestRetainSpreadsAges(t *testing.T) {
	const n = 8
	simulate(n, slices.Repeat([]time.Duration{time.Second}, 20000), func(ages []time.Duration, since time.Duration) {
		if len(ages) != min(n, int(since/time.Second)) || ages[0] != 0 {
			t.Fatalf("after %v: kept are %v", since, ages)
		}
		if len(ages) < n {
			return
		}
		for i := 2; i < n; i++ {
			if ages[i] > maxRatio*ages[i-1] {
				t.Fatalf("after %v: too wide a gap in %v", since, ages)
			}
		}
		if ages[1] != time.Second || ages[2] > maxRatio*time.Second {
			t.Fatalf("after %v: the newest aren't close together: %v", since, ages)
		}
		if oldest := ages[n-1]; oldest < min(since-time.Second, 300*time.Second) {
			t.Fatalf("after %v: the oldest is only %v old: %v", since, oldest, ages)
		}
		if ages[n-1] > 15*time.Minute {
			t.Fatalf("after %v: the oldest is too old: %v", since, ages)
		}
	})
}

// TestRetainAnyNumber: for each n, at uneven spacing.
func TestRetainAnyNumber(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for n := 1; n <= 20; n++ {
		var delays []time.Duration
		for range 1000 {
			delays = append(delays, time.Duration(random.ExpFloat64()*float64(time.Second)))
		}
		simulate(n, delays, func(ages []time.Duration, since time.Duration) {
			if len(ages) > n || ages[0] != 0 || !slices.IsSorted(ages) {
				t.Fatalf("n=%d after %v: kept are %v", n, since, ages)
			}
		})
	}
}

// TestRetainIsStable: a decision is made again alike.
func TestRetainIsStable(t *testing.T) {
	manifests := every(time.Second, 100)
	keep, _ := Retain(epoch.Add(100*time.Second), manifests, 8, nil)
	slices.Reverse(manifests) // the order doesn't matter
	left := slices.DeleteFunc(manifests, func(m checkpoint.Manifest) bool {
		return !slices.ContainsFunc(keep, func(d Decision) bool { return d.Seq == m.Seq })
	})
	for _, after := range []time.Duration{0, time.Minute, 1000 * time.Hour} {
		if again, drop := Retain(epoch.Add(100*time.Second+after), left, 8, nil); len(drop) > 0 || len(again) != 8 {
			t.Errorf("%v later, with nothing new, %v are dropped", after, drop)
		}
	}
}
