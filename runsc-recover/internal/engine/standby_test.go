package engine

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/config"
	"runsc-recover/checkpoint/schedule"
	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/test/expect"
)

func warm(o *Options) { o.Config.Standby = config.StandbyWarm }

// booted is how many sandboxes were booted so far.
func (w *world) booted() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.gens)
}

func (w *world) setBoot(err error, gate chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bootErr, w.boots = err, gate
}

func (w *world) lastAttempt() string {
	eps := w.episodes()
	at := eps[len(eps)-1].Attempts
	return at[len(at)-1].Standby
}

func TestStandbyIsUsedAndReplaced(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := started(t, warm)
		expect.Equal(t, "before there is a checkpoint", w.state().Standby.Kind, config.StandbyCold)
		w.run(1500 * time.Millisecond)
		st := w.state().Standby
		expect.Equal(t, "kind", st.Kind, config.StandbyWarm)
		expect.Equal(t, "generation", st.Generation, 2)
		expect.Equal(t, "saved", w.last.Standby, st)
		expect.Equal(t, "since", st.Since.IsZero(), false)
		expect.Equal(t, "sandboxes saved", len(w.last.Generations), 2)
		expect.Equal(t, "network", w.gen(2).opts.Network, sandbox.Network("the network"))

		w.gen(1).fail(boom())
		synctest.Wait()
		expect.Equal(t, "generation", w.state().Generation, 2)
		expect.Equal(t, "recorded", w.lastAttempt(), "warm")
		w.run(2 * settleTime)
		log := w.did()
		if i, j := slices.Index(log, "release 2"), slices.Index(log, "boot 3"); i < 0 || j < i {
			t.Errorf("the next standby must not delay the copy: %v", log)
		}
		expect.Equal(t, "next", w.state().Standby.Generation, 3)
		w.end()
		expect.Equal(t, "standby is destroyed with the container", slices.Contains(w.did(), "destroy 3"), true)
		expect.Equal(t, "none in the last state", w.last.Standby.Kind, config.StandbyCold)
	})
}

func TestStandbyThatDiesIsReplaced(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := started(t, warm)
		w.run(200 * time.Millisecond)
		w.gen(2).exit(sandbox.Exit{Crashed: true, Err: sandbox.ErrGone})
		synctest.Wait()
		st := w.state().Standby
		expect.Equal(t, "kind", st.Kind, config.StandbyCold)
		expect.Equal(t, "reason", strings.Contains(st.Reason, sandbox.ErrGone.Error()), true)
		expect.Equal(t, "container", w.state().Status, "running")
		w.run(standbyRetry)
		expect.Equal(t, "next", w.state().Standby.Generation, 3)
		expect.Equal(t, "removed", slices.Contains(w.did(), "destroy 2"), true)
		w.end()
	})
}

func TestStandbyIsNotReplacedForEver(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := started(t, warm)
		w.run(50 * time.Millisecond)
		w.setBoot(errors.New("no room"), nil)
		w.run(10 * time.Minute)
		expect.Equal(t, "reason", strings.Contains(w.state().Standby.Reason, "no room"), true)
		boots := make(chan struct{})
		w.setBoot(errors.New("no room"), boots) // another boot would wait
		w.run(10 * time.Minute)
		w.setBoot(nil, nil)
		close(boots)
		w.gen(1).fail(boom())
		w.run(2 * settleTime)
		expect.Equal(t, "recorded", w.lastAttempt(), "cold")
		expect.Equal(t, "tried again after a recovery", w.state().Standby.Kind, config.StandbyWarm)
		expect.Equal(t, "generations", w.booted(), 3)
		w.end()
	})
}

func TestRecoveryTakesAStandbyThatBoots(t *testing.T) {
	scenario(t, func(t *testing.T) {
		boots := make(chan struct{})
		w := started(t, warm)
		w.setBoot(nil, boots)
		w.run(200 * time.Millisecond)
		w.gen(1).fail(boom())
		synctest.Wait()
		expect.Equal(t, "phase", w.state().Phase, "restoring")
		close(boots)
		synctest.Wait()
		expect.Equal(t, "generation", w.state().Generation, 2)
		expect.Equal(t, "recorded", w.lastAttempt(), "warm")
		w.end()
	})
}

func TestStandbyThatCannotBeRestored(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := started(t, warm)
		w.run(200 * time.Millisecond)
		w.gen(2).restErr = errors.New("no such pages")
		w.gen(1).fail(boom())
		synctest.Wait()
		w.fellBack("no such pages")
		expect.Equal(t, "removed", slices.Contains(w.did(), "destroy 2"), true)
		w.end()
	})
}

func TestStandbyThatFailsToBootDuringARecovery(t *testing.T) {
	scenario(t, func(t *testing.T) {
		boots := make(chan struct{})
		w := started(t, warm)
		w.setBoot(errors.New("out of processes"), boots)
		w.run(200 * time.Millisecond)
		w.gen(1).fail(boom())
		synctest.Wait()
		boots <- struct{}{} // the standby's
		synctest.Wait()
		w.setBoot(nil, nil)
		close(boots)
		synctest.Wait()
		w.fellBack("out of processes")
		w.end()
	})
}

// fellBack checks that the only attempt booted a sandbox and says why.
func (w *world) fellBack(why string) {
	w.t.Helper()
	expect.Equal(w.t, "phase", w.state().Phase, "probation")
	a := w.episodes()[0].Attempts
	expect.Equal(w.t, "attempts", len(a), 1)
	expect.Equal(w.t, "recorded", a[0].Standby, "cold")
	if reasons := strings.Join(a[0].Reasons, "; "); !strings.Contains(reasons, why) {
		w.t.Errorf("reasons: %s", reasons)
	}
}

func TestShutdownWhileStandbyBoots(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := started(t, warm)
		w.setBoot(nil, make(chan struct{}))
		w.run(200 * time.Millisecond)
		w.end()
		expect.Equal(t, "booted", w.booted(), 1)
	})
}

func TestStandbyOutlivesPauseAndRestart(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := started(t, warm, func(o *Options) {
			o.Config.MaxAttempts = 1
			o.Config.Exhausted = config.ExhaustedRestart
		})
		w.run(200 * time.Millisecond)
		if err := w.engine.Pause(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.run(time.Minute)
		expect.Equal(t, "while paused", w.state().Standby.Generation, 2)
		if err := w.engine.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.gen(1).fail(boom())
		synctest.Wait()
		expect.Equal(t, "copy", w.state().Generation, 2)
		w.run(2 * settleTime)
		w.gen(2).fail(boom())
		synctest.Wait()
		expect.Equal(t, "fresh", w.state().Generation, 4)
		expect.Equal(t, "standby", w.state().Standby.Generation, 3)
		w.end()
	})
}

func TestStandbysMemoryIsCounted(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*Options)
		want   config.Standby
		reason string
	}{
		{"room", func(o *Options) {
			o.Memory = func() (schedule.Memory, error) { return schedule.Memory{Used: 20 << 20, Limit: 200 << 20}, nil }
		}, config.StandbyWarm, "configured"},
		{"container's limit", func(o *Options) {
			o.Memory = func() (schedule.Memory, error) { return schedule.Memory{Used: 20 << 20, Limit: 80 << 20}, nil }
		}, config.StandbyCold, "limit of 80 MiB"},
		{"standby-memory", func(o *Options) { o.Config.StandbyMemory = 1 << 20 }, config.StandbyCold, "standby-memory is 1 MiB"},
		{"measured", func(o *Options) {
			o.ProcessMemory = func([]int) uint64 { return 1 << 30 }
		}, config.StandbyCold, "takes 1024 MiB"},
		{"unreadable", func(o *Options) {
			o.Config.Durability = config.DurabilityDisk // else checkpoints fail too
			o.Memory = func() (schedule.Memory, error) { return schedule.Memory{}, os.ErrPermission }
		}, config.StandbyCold, "permission denied"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			scenario(t, func(t *testing.T) {
				w := started(t, warm, tc.change)
				w.run(3 * time.Second)
				st := w.state().Standby
				expect.Equal(t, "kind", st.Kind, tc.want)
				if !strings.Contains(st.Reason, tc.reason) {
					t.Errorf("reason %q, want …%s…", st.Reason, tc.reason)
				}
				w.gen(1).fail(boom())
				synctest.Wait()
				expect.Equal(t, "recorded", w.lastAttempt(), string(tc.want))
				w.end()
				for i := range w.booted() {
					if !slices.Contains(w.did(), fmt.Sprint("destroy ", i+1)) {
						t.Errorf("sandbox %d is left", i+1)
					}
				}
			})
		})
	}
}

func TestCheckpointTakesTheStandbysRoom(t *testing.T) {
	scenario(t, func(t *testing.T) {
		var used atomic.Uint64
		used.Store(20 << 20)
		w := started(t, warm, func(o *Options) {
			o.Memory = func() (schedule.Memory, error) { return schedule.Memory{Used: used.Load(), Limit: 200 << 20}, nil }
		})
		w.run(200 * time.Millisecond)
		expect.Equal(t, "kind", w.state().Standby.Kind, config.StandbyWarm)
		used.Store(190 << 20)
		w.run(2 * time.Second)
		expect.Equal(t, "kind", w.state().Standby.Kind, config.StandbyCold)
		expect.Equal(t, "destroyed", slices.Contains(w.did(), "destroy 2"), true)
		w.end()
	})
}

func TestDamagedCheckpointWithStandby(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := started(t, warm)
		w.run(2500 * time.Millisecond)
		newest := w.state().LastCheckpoint
		w.store.set(func(s *flakyStore) { s.damaged = map[checkpoint.Seq]bool{newest: true} })
		w.gen(1).fail(boom())
		synctest.Wait()
		expect.Equal(t, "restored", w.gen(w.state().Generation).restored, newest-1)
		w.end()
	})
}

// Left to choose, a hot standby is had where all the processors' time that it
// takes to renew is within max-overhead.
func TestAutoIsHotWhereThatIsCheap(t *testing.T) {
	for interval, want := range map[time.Duration]config.Standby{
		time.Second:      config.StandbyWarm,
		10 * time.Second: config.StandbyHot,
	} {
		scenario(t, func(t *testing.T) {
			w := started(t, func(o *Options) {
				o.Config.Standby, o.Config.Interval = config.StandbyAuto, interval
			})
			w.run(time.Second)
			expect.Equal(t, interval.String(), w.state().Standby.Kind, want)
			w.end()
		})
	}
}

// A hot standby that turns out to be dear to renew makes way for a warm one.
func TestAutoIsWarmOnceHotIsDear(t *testing.T) {
	scenario(t, func(t *testing.T) {
		var spent atomic.Int64
		w := started(t, func(o *Options) {
			o.Config.Standby, o.Config.Interval = config.StandbyAuto, 10*time.Second
			o.ProcessorTime = func([]int) time.Duration { return time.Duration(spent.Add(int64(time.Second))) }
		})
		w.run(time.Second)
		expect.Equal(t, "at first", w.state().Standby.Kind, config.StandbyHot)
		w.run(25 * time.Second)
		st := w.state().Standby
		expect.Equal(t, "later", st.Kind, config.StandbyWarm)
		expect.Equal(t, "says why", strings.Contains(st.Reason, "1s of a processor"), true)
		w.end()
	})
}
