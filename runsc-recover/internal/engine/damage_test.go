package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/test/expect"
)

var errSpoilt = fmt.Errorf("%w: page 7 has another hash", checkpoint.ErrDamaged)

// spoils lets a sandbox end as one whose checkpoint turns out to be damaged.
func (g *fakeGen) spoils() {
	g.send(sandbox.Event{Generation: g.number, Damaged: errSpoilt})
	g.exit(sandbox.Exit{Crashed: true, Err: sandbox.ErrGone})
}

// reasons are those of all attempts of the last episode.
func (w *world) reasons() string {
	w.t.Helper()
	var out []string
	eps := w.episodes()
	for _, a := range eps[len(eps)-1].Attempts {
		out = append(out, a.Reasons...)
	}
	return strings.Join(out, "\n")
}

// kept are the checkpoints in the store.
func (w *world) kept() []checkpoint.Manifest {
	w.t.Helper()
	good, _, err := w.store.List(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return good
}

// rolledBack returns a world whose second generation is the copy of checkpoint
// newest, in probation.
func rolledBack(t *testing.T) (w *world, newest checkpoint.Seq) {
	w = started(t)
	w.run(1500 * time.Millisecond)
	newest = w.state().LastCheckpoint
	w.gen(1).fail(boom())
	synctest.Wait()
	return w, newest
}

// A copy runs before all of it is loaded: the rest turns out to be damaged, in
// probation.
func TestDamageAfterRelease(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w, newest := rolledBack(t)
		expect.Equal(t, "restored", w.gen(2).restored, newest)
		w.gen(2).spoils()
		synctest.Wait()
		expect.Equal(t, "generation", w.state().Generation, 3)
		expect.Equal(t, "restored instead", w.gen(3).restored, newest-1)
		told := w.gen(3).told[0].Info
		expect.Equal(t, "told of the failure", told.Failure.Message, "boom")
		expect.Equal(t, "at the level", told.Level, 1)
		if r := w.reasons(); !strings.Contains(r, fmt.Sprint("checkpoint ", newest, " turned out to be damaged")) {
			t.Errorf("the record says %q", r)
		}
		w.run(10 * time.Second)
		expect.Equal(t, "destroyed", slices.Contains(w.did(), "destroy 2"), true)
		expect.Equal(t, "outcome", w.episodes()[0].Outcome, "recovered")
		w.end()
	})
}

// The same when the program is past the failure already.
func TestDamageAfterProbation(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w, newest := rolledBack(t)
		w.gen(2).send(sandbox.Event{Generation: 2, Resolved: true})
		synctest.Wait()
		expect.Equal(t, "phase", w.state().Phase, "running")
		w.gen(2).spoils()
		synctest.Wait()
		expect.Equal(t, "restored instead", w.gen(3).restored, newest-1)
		expect.Equal(t, "episodes", len(w.episodes()), 2)
		w.run(time.Second)
		for _, m := range w.kept() {
			expect.Equal(t, "it is still there", m.Seq == newest, false)
		}
		w.end()
	})
}

// The failing copy's own checkpoint turns out to be damaged while the next one
// is made.
func TestDamageOfTheFailingCopy(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w, newest := rolledBack(t)
		boots := make(chan struct{})
		w.setBoot(nil, boots)
		w.gen(2).fail(boom())
		synctest.Wait()
		w.gen(2).spoils()
		synctest.Wait()
		close(boots)
		synctest.Wait()
		expect.Equal(t, "generation", w.state().Generation, 3)
		expect.Equal(t, "restored", w.gen(3).restored, newest) // the copy finds out itself
		w.end()
	})
}

// TestDamageWhileHeld: a held copy finds that the checkpoint it loads is damaged:
// that is never used, and the next checkpoint owes it nothing.
func TestDamageWhileHeld(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := started(t, hot)
		w.run(200 * time.Millisecond)
		expect.Equal(t, "holds", w.state().Standby.Checkpoint, 1)
		w.gen(2).spoils()
		synctest.Wait()
		expect.Equal(t, "checkpoints", len(w.kept()), 0)
		w.run(3 * time.Second)
		m := w.kept()[0]
		expect.Equal(t, "next", m.Seq, 2)
		expect.Equal(t, "parent", m.Parent, 0)
		w.gen(1).fail(boom())
		w.run(time.Second)
		if len(w.gen(w.state().Generation).told) == 0 {
			t.Error("the copy isn't released")
		}
		w.end()
	})
}

// A sandbox that can't load a damaged checkpoint says nothing of others.
func TestDamageWhileLoading(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := started(t, warm)
		w.run(1500 * time.Millisecond)
		newest := w.state().LastCheckpoint
		w.gen(2).spoil(errSpoilt)
		w.gen(1).fail(boom())
		synctest.Wait()
		expect.Equal(t, "generation", w.state().Generation, 3)
		expect.Equal(t, "restored instead", w.gen(3).restored, newest-1)
		w.end()
	})
}

// The copy is killed for damage between its restore and its release.
func TestDamageBeforeRelease(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := started(t)
		w.run(1500 * time.Millisecond)
		newest := w.state().LastCheckpoint
		w.mu.Lock()
		w.onBoot = func(g *fakeGen) {
			if g.number == 2 {
				g.relErr = sandbox.ErrGone
				g.send(sandbox.Event{Generation: 2, Damaged: errSpoilt})
			}
		}
		w.mu.Unlock()
		w.gen(1).fail(boom())
		synctest.Wait()
		expect.Equal(t, "restored instead", w.gen(3).restored, newest-1)
		w.end()
	})
}
