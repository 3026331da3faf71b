package engine

import (
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"runsc-recover/checkpoint/config"
	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/test/expect"
)

func hot(o *Options) { o.Config.Standby = config.StandbyHot }

// restoresTake lets each restore take so long from now on.
func (w *world) restoresTake(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.restoring = d
}

// spoil makes restores fail.
func (g *fakeGen) spoil(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.restErr = err
}

func TestHotStandbyIsLetGo(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := started(t, hot)
		w.run(200 * time.Millisecond)
		st := w.state().Standby
		expect.Equal(t, "kind", st.Kind, config.StandbyHot)
		expect.Equal(t, "holds", st.Checkpoint, 1)
		expect.Equal(t, "is fenced", w.gen(2).opts.Fenced, true)
		expect.Equal(t, "is not released", len(w.gen(2).told), 0)

		w.gen(1).fail(boom())
		synctest.Wait()
		expect.Equal(t, "generation", w.state().Generation, 2)
		a := w.episodes()[0].Attempts[0]
		expect.Equal(t, "recorded", a.Standby, "hot")
		expect.Equal(t, "reason", strings.Contains(a.Reasons[0], "which the standby holds"), true)
		expect.Equal(t, "told", w.gen(2).told[0].Info.CheckpointSeq, 1)
		expect.Equal(t, "restored once", slices.Contains(w.did(), "restore 2 from 1"), true)
		w.run(2 * settleTime)
		expect.Equal(t, "next", w.state().Standby.Generation, 3)
		expect.Equal(t, "holds", w.state().Standby.Checkpoint, 1)
		w.end()
		expect.Equal(t, "destroyed", slices.Contains(w.did(), "destroy 3"), true)
	})
}

func TestHotStandbyFollowsTheNewest(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := newWorld(t, hot)
		w.restoresTake(300 * time.Millisecond) // 75 ms of 50 a second
		w.start()
		w.run(10 * time.Second)
		st, newest := w.state().Standby, w.state().LastCheckpoint
		expect.Equal(t, "kind", st.Kind, config.StandbyHot)
		if st.Checkpoint < newest-2 || st.Checkpoint == newest && st.Generation > 10 {
			t.Errorf("it holds %d of %d as generation %d", st.Checkpoint, newest, st.Generation)
		}
		// Each is paid off by 1.5 s of run time.
		if n := w.booted(); n < 5 || n > 9 {
			t.Errorf("%d sandboxes in ten seconds", n)
		}
		w.gen(1).fail(boom())
		synctest.Wait()
		expect.Equal(t, "checkpoint of the first attempt", w.gen(st.Generation).restored, st.Checkpoint)
		expect.Equal(t, "recorded", w.lastAttempt(), "hot")

		w.run(300 * time.Millisecond)
		w.gen(st.Generation).fail(boom())
		w.run(time.Second)
		a := w.episodes()[0].Attempts
		expect.Equal(t, "second attempt uses the newest", a[1].CheckpointSeq, newest)
		w.end()
	})
}

// The pages that come after a hot standby could be used are paid for as well,
// and it isn't replaced before they are there.
func TestPagesOfAHotStandbyArePaidFor(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := newWorld(t, hot)
		w.mu.Lock()
		w.paging = 350 * time.Millisecond
		w.mu.Unlock()
		w.start()
		w.run(200 * time.Millisecond)
		expect.Equal(t, "it can be used", w.state().Standby.Kind, config.StandbyHot)
		w.run(10 * time.Second)
		// 350 ms of which a quarter counts, of 50 ms a second.
		if n := w.booted(); n < 4 || n > 8 {
			t.Errorf("%d sandboxes in ten seconds", n)
		}
		w.mu.Lock()
		w.paging = time.Hour
		w.mu.Unlock()
		w.run(10 * time.Second)
		before := w.booted()
		w.run(10 * time.Second)
		expect.Equal(t, "replaced while it is loading", w.booted(), before)
		w.end()
	})
}

// A standby that has all its memory stays until the next has.
func TestLoadedStandbyStaysUntilTheNextIs(t *testing.T) {
	const paging = 350 * time.Millisecond
	scenario(t, func(t *testing.T) {
		w := newWorld(t, hot)
		w.mu.Lock()
		w.paging = paging
		w.mu.Unlock()
		if err := w.engine.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		placed := map[int]time.Duration{} // how long they had been held
		for range 1000 {
			w.run(10 * time.Millisecond)
			st := w.state().Standby
			if _, known := placed[st.Generation]; !known && st.Kind == config.StandbyHot {
				placed[st.Generation] = time.Since(st.Since)
			}
		}
		delete(placed, 2) // there was none before
		if len(placed) < 2 {
			t.Errorf("%d standbys in ten seconds", len(placed))
		}
		for generation, held := range placed {
			if held < paging {
				t.Errorf("generation %d took its place %v after it was held", generation, held)
			}
		}
		w.end()
	})
}

func TestPagesOfAHotStandbyCount(t *testing.T) {
	for pages, want := range map[uint64]config.Standby{0: config.StandbyHot, 8 << 20 / 4096: config.StandbyWarm} {
		scenario(t, func(t *testing.T) {
			w := newWorld(t, hot, func(o *Options) { o.Config.StandbyMemory = 2*standbyGuess + 1<<20 })
			w.memory = pages
			w.start()
			w.run(time.Second)
			expect.Equal(t, "kind", w.state().Standby.Kind, want)
			w.end()
		})
	}
}

func TestOldHotStandbyIsNotUsed(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := started(t, hot, func(o *Options) { o.Config.StandbyLag = 100 * time.Millisecond })
		w.run(200 * time.Millisecond)
		expect.Equal(t, "holds", w.state().Standby.Checkpoint, 1)
		w.restoresTake(time.Second)
		w.run(time.Second)
		w.gen(1).fail(boom())
		w.run(2 * time.Second)
		expect.Equal(t, "restored", w.episodes()[0].Attempts[0].CheckpointSeq, w.gen(w.state().Generation).restored)
		expect.Equal(t, "the newest", w.episodes()[0].Attempts[0].CheckpointSeq, 2)
		w.end()
	})
}

func TestFailureWhileTheHotStandbyLoads(t *testing.T) {
	for _, spoilt := range []bool{false, true} {
		scenario(t, func(t *testing.T) {
			w := newWorld(t, hot)
			w.restoresTake(time.Second)
			w.start()
			w.run(200 * time.Millisecond)
			if spoilt {
				w.gen(2).spoil(errors.New("no such pages"))
			}
			w.gen(1).fail(boom())
			w.run(2 * time.Second)
			if spoilt {
				w.fellBack("no such pages")
			} else {
				expect.Equal(t, "generation", w.state().Generation, 2)
				expect.Equal(t, "recorded", w.lastAttempt(), "hot")
			}
			w.end()
		})
	}
}

func TestFailureWhileTheHotStandbyBoots(t *testing.T) {
	scenario(t, func(t *testing.T) {
		boots := make(chan struct{})
		w := started(t, hot)
		w.setBoot(nil, boots)
		w.run(200 * time.Millisecond)
		w.gen(1).fail(boom())
		synctest.Wait()
		close(boots)
		synctest.Wait()
		expect.Equal(t, "generation", w.state().Generation, 2)
		expect.Equal(t, "recorded", w.lastAttempt(), "warm")
		expect.Equal(t, "restored once", slices.Contains(w.did(), "restore 2 from 1"), true)
		w.end()
	})
}

func TestHotStandbyThatDies(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := started(t, hot)
		w.run(200 * time.Millisecond)
		w.gen(2).exit(sandbox.Exit{Crashed: true, Err: sandbox.ErrGone})
		synctest.Wait()
		expect.Equal(t, "kind", w.state().Standby.Kind, config.StandbyCold)
		w.run(standbyRetry)
		expect.Equal(t, "next", w.state().Standby.Kind, config.StandbyHot)
		w.end()
	})
}

func TestNoHotStandby(t *testing.T) {
	for name, tc := range map[string]struct {
		spoil  func(*world)
		change func(*Options)
		reason string
	}{
		"where it can't be fenced": {func(w *world) { w.unfenceable = true }, func(*Options) {}, sandbox.ErrNotFenced.Error()},
		"that is too dear":         {nil, func(o *Options) { o.Config.MaxOverhead = 0.001 }, "standby-lag"},
		"that is too large":        {nil, func(o *Options) { o.Config.StandbyMemory = 64 << 20 }, "standby-memory"},
	} {
		t.Run(name, func(t *testing.T) {
			scenario(t, func(t *testing.T) {
				w := newWorld(t, hot, tc.change)
				if tc.spoil != nil {
					tc.spoil(w)
				}
				w.start()
				w.run(5 * time.Second)
				st := w.state().Standby
				expect.Equal(t, "kind", st.Kind, config.StandbyWarm)
				if !strings.Contains(st.Reason, tc.reason) {
					t.Errorf("reason %q", st.Reason)
				}
				w.gen(1).fail(boom())
				synctest.Wait()
				expect.Equal(t, "recorded", w.lastAttempt(), "warm")
				w.end()
			})
		})
	}
}

func TestHotStandbyThatCannotBeRestored(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := newWorld(t, hot)
		w.restoresTake(time.Second)
		w.start()
		w.run(200 * time.Millisecond)
		w.gen(2).spoil(errors.New("no such pages"))
		w.run(2 * time.Second)
		st := w.state().Standby
		expect.Equal(t, "kind", st.Kind, config.StandbyWarm)
		expect.Equal(t, "reason", strings.Contains(st.Reason, "no such pages"), true)
		expect.Equal(t, "destroyed", slices.Contains(w.did(), "destroy 2"), true)
		w.end()
	})
}

func TestShutdownWhileTheHotStandbyLoads(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := newWorld(t, hot)
		w.restoresTake(time.Second)
		w.start()
		w.run(200 * time.Millisecond)
		w.end()
		expect.Equal(t, "destroyed", slices.Contains(w.did(), "destroy 2"), true)
	})
}

// Nothing of a standby that was replaced stays.
func TestReplacedStandbysAreForgotten(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := started(t, hot)
		w.run(10 * time.Second)
		booted, before := w.booted(), runtime.NumGoroutine()
		w.run(time.Minute)
		if n := w.booted() - booted; n < 20 {
			t.Fatalf("%d standbys in a minute", n)
		}
		if after := runtime.NumGoroutine(); after > before+5 {
			t.Errorf("there were %d goroutines and are %d", before, after)
		}
		w.end()
	})
}
