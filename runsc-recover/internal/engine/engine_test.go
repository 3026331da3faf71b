package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/config"
	"runsc-recover/oci/errdefs"
	"runsc-recover/oci/statedir"
	"runsc-recover/runsc-recover/internal/api"
	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/sentry/failure"
	"runsc-recover/sentry/wire"
	"runsc-recover/test/expect"
)

// scenario runs f in a bubble whose time is fake.
func scenario(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

// Times of the machines', which the tests wait for.
const (
	settleTime   = 50 * time.Millisecond
	standbyRetry = time.Second
	firstDelay   = 100 * time.Millisecond
	explainTime  = 10 * time.Second
	standbyGuess = 48 << 20
	sigTerm      = 15
)

func boom() failure.State {
	return failure.State{Kind: failure.Reported, Code: 7, Key: 0xb00, Message: "boom", PID: 1, TID: 1, Program: "prog"}
}

func TestFailureIsRolledBackAndTold(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := started(t)
		w.run(1500 * time.Millisecond)
		w.gen(1).fail(boom())
		synctest.Wait()

		g := w.gen(2)
		if len(g.told) != 1 {
			t.Fatalf("copy was told %d times", len(g.told))
		}
		info := g.told[0].Info
		expect.Equal(t, "level", info.Level, 1)
		expect.Equal(t, "attempt", info.Attempt, 1)
		expect.Equal(t, "message", info.Failure.Message, "boom")
		expect.Equal(t, "checkpoint told", info.CheckpointSeq, uint64(g.restored))
		if info.FailureAfter <= 0 || info.FailureAfter > time.Second {
			t.Errorf("failure lies %v ahead", info.FailureAfter)
		}
		expect.Equal(t, "network handed on", g.opts.Network, sandbox.Network("the network"))
		expect.Equal(t, "status", w.state().Status, "running")
		expect.Equal(t, "phase", w.state().Phase, "probation")
		expect.Equal(t, "generation", w.state().Generation, 2)
		w.run(2 * settleTime)
		if i, j := slices.Index(w.did(), "release 2"), slices.Index(w.did(), "destroy 1"); i < 0 || j < i {
			t.Errorf("the failed sandbox must outlive the copy's release: %v", w.did())
		}
		w.run(5 * time.Second)
		expect.Equal(t, "phase", w.state().Phase, "running")
		eps := w.episodes()
		if len(eps) != 1 || len(eps[0].Attempts) != 1 {
			t.Fatalf("episodes: %+v", eps)
		}
		expect.Equal(t, "episode", eps[0].Outcome, "recovered")
		expect.Equal(t, "attempt", eps[0].Attempts[0].Outcome, "recovered")
		expect.Equal(t, "key", eps[0].Key, "0000000000000b00")
		w.end()
	})
}

func TestCoincidingFailureEscalates(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := newWorld(t)
		w.program = func(g *fakeGen) {
			time.Sleep(3500*time.Millisecond - time.Duration(max(0, int(g.restored)-1))*time.Second)
			if g.number < 4 {
				g.fail(boom())
			}
		}
		w.start()
		w.run(20 * time.Second)
		for n, level := range map[int]uint32{2: 1, 3: 2, 4: 3} {
			expect.Equal(t, fmt.Sprint("level of ", n), w.gen(n).told[0].Info.Level, level)
		}
		expect.Equal(t, "second try of the newest", w.gen(3).restored, w.gen(2).restored)
		if w.gen(4).restored >= w.gen(3).restored {
			t.Errorf("third attempt went back to %d, second to %d", w.gen(4).restored, w.gen(3).restored)
		}
		eps := w.episodes()
		expect.Equal(t, "episodes", len(eps), 1)
		var outcomes []string
		for _, a := range eps[0].Attempts {
			outcomes = append(outcomes, a.Outcome)
		}
		expect.Equal(t, "outcomes", strings.Join(outcomes, " "), "coinciding coinciding recovered")
		w.end()
	})
}

// On the host's network a copy can only listen where the failed one did when
// that is gone.
func TestHostNetworkEndsTheFailedFirst(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := started(t, func(o *Options) { o.Template.NetworkStack = config.NetworkHost })
		w.run(1500 * time.Millisecond)
		w.gen(1).fail(boom())
		synctest.Wait()
		did := w.did()
		if i, j := slices.Index(did, "destroy 1"), slices.Index(did, "restore 2 from 2"); i < 0 || j < i {
			t.Errorf("order: %v", did)
		}
		expect.Equal(t, "status", w.state().Status, "running")
		expect.Equal(t, "told", len(w.gen(2).told), 1)
		w.end()
	})
}

func TestBudgetSpentLetsTheProgramDie(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := newWorld(t, func(o *Options) { o.Config.MaxAttempts = 2 })
		w.program = func(g *fakeGen) {
			g.refused = func() { g.exit(sandbox.Exit{Status: 139}) }
			time.Sleep(time.Second)
			g.fail(failure.State{Kind: failure.Signal, Signo: 11, Key: 5})
		}
		w.start()
		st, err := w.engine.Wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		expect.Equal(t, "status", st.Status, 139)
		expect.Equal(t, "exit of the loop", (<-w.exit).Status, 139)
		expect.Equal(t, "saved status", w.last.Status, statedir.StatusStopped)
		eps := w.episodes()
		expect.Equal(t, "outcome", eps[0].Outcome, "exhausted")
		expect.Equal(t, "attempts", len(eps[0].Attempts), 2)
	})
}

func TestExhaustedRestartsAfresh(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := newWorld(t, func(o *Options) {
			o.Config.MaxAttempts = 1
			o.Config.Exhausted = config.ExhaustedRestart
		})
		w.program = func(g *fakeGen) {
			time.Sleep(time.Second)
			if g.number < 3 {
				g.fail(boom())
			}
		}
		w.start()
		w.run(4 * time.Second)
		expect.Equal(t, "third generation starts from the bundle", slices.Contains(w.did(), "start 3"), true)
		expect.Equal(t, "its checkpoints are its own", w.state().LastCheckpoint > w.gen(2).restored, true)
		expect.Equal(t, "phase", w.state().Phase, "running")
		w.end()
	})
}

func TestNoCheckpointMeansRefusal(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := started(t)
		w.gen(1).refused = func() { w.gen(1).exit(sandbox.Exit{Status: 1}) }
		w.gen(1).fail(boom())
		expect.Equal(t, "status", (<-w.exit).Status, 1)
	})
}

func TestRecoveryDisabled(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := started(t, func(o *Options) { o.Config.Enabled = false })
		w.run(3 * time.Second)
		expect.Equal(t, "checkpoints", w.state().LastCheckpoint, 0)
		w.gen(1).send(sandbox.Event{Checkpoint: &wire.CheckpointRequest{TID: 3}})
		synctest.Wait()
		expect.Equal(t, "program's request is answered", len(w.gen(1).answers), 1)
		expect.Equal(t, "with an error", w.gen(1).answers[0] != nil, true)
		w.gen(1).refused = func() { w.gen(1).exit(sandbox.Exit{Status: 1}) }
		w.gen(1).fail(boom())
		expect.Equal(t, "status", (<-w.exit).Status, 1)
	})
}

func TestDamagedCheckpointIsSkipped(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := started(t)
		w.run(2500 * time.Millisecond)
		newest := w.state().LastCheckpoint
		w.store.set(func(s *flakyStore) { s.damaged = map[checkpoint.Seq]bool{newest: true} })
		w.gen(1).fail(boom())
		synctest.Wait()
		expect.Equal(t, "restored", w.gen(w.state().Generation).restored, newest-1)
		a := w.episodes()[0].Attempts
		expect.Equal(t, "attempts", len(a), 2)
		expect.Equal(t, "first outcome", a[0].Outcome, "failed")
		if !strings.Contains(strings.Join(a[0].Reasons, "\n"), "damaged") {
			t.Errorf("reasons don't tell of the damage: %q", a[0].Reasons)
		}
		w.end()
	})
}

func TestCopyThatCannotBeMade(t *testing.T) {
	for name, breakIt := range map[string]func(*fakeGen){
		"restore": func(g *fakeGen) { g.restErr = errors.New("no") },
		"release": func(g *fakeGen) { g.relErr = sandbox.ErrGone },
	} {
		t.Run(name, func(t *testing.T) {
			scenario(t, func(t *testing.T) {
				w := newWorld(t)
				boot := w.engine.opts.Boot
				w.engine.opts.Boot = func(ctx context.Context, o sandbox.BootOptions) (sandbox.Sandbox, error) {
					g, err := boot(ctx, o)
					if o.Generation == 2 {
						breakIt(g.(*fakeGen))
					}
					return g, err
				}
				w.start()
				w.run(1500 * time.Millisecond)
				w.gen(1).fail(boom())
				w.run(10 * time.Millisecond)
				expect.Equal(t, "generation", w.state().Generation, 3)
				expect.Equal(t, "broken copy destroyed", slices.Contains(w.did(), "destroy 2"), true)
				expect.Equal(t, "attempts", len(w.episodes()[0].Attempts), 2)
				w.end()
			})
		})
	}
}

func TestSandboxDeathIsRolledBack(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := started(t, func(o *Options) { o.OOMKills = func() uint64 { return 1 } })
		w.run(1500 * time.Millisecond)
		w.gen(1).exit(sandbox.Exit{Crashed: true, Err: sandbox.ErrGone})
		synctest.Wait()
		expect.Equal(t, "generation", w.state().Generation, 2)
		expect.Equal(t, "kind", w.episodes()[0].Kind, "out of memory")
		w.gen(2).exit(sandbox.Exit{Crashed: true, Err: sandbox.ErrGone})
		synctest.Wait()
		told := w.gen(3).told[0].Info.Failure
		expect.Equal(t, "kind told", told.Kind, failure.Signal)
		expect.Equal(t, "signal told", told.Signo, 9)
		w.end()
	})
}

func TestProgramExitEndsTheContainer(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := started(t)
		w.run(time.Second)
		w.gen(1).exit(sandbox.Exit{Status: 3})
		expect.Equal(t, "status", (<-w.exit).Status, 3)
		err := w.engine.Alive(t.Context())
		expect.Equal(t, "asking a stopped container", errors.Is(err, errdefs.ErrNotRunning), true)
		expect.Equal(t, "kill after exit", errors.Is(w.engine.Signal(t.Context(), api.SignalRequest{Signal: 15}), errdefs.ErrNotRunning), true)
	})
}

func TestStartTwice(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := started(t)
		err := w.engine.Start(t.Context())
		expect.Equal(t, "code", errdefs.CodeOf(err), errdefs.CodeNotCreated)
		w.end()
	})
}

func TestFailedStartEndsTheContainer(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := newWorld(t, func(o *Options) {
			o.BeforeStart = func(context.Context) error { return errors.New("hook") }
		})
		if err := w.engine.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "hook") {
			t.Errorf("start: %v", err)
		}
		expect.Equal(t, "status", (<-w.exit).Status, 1)
		expect.Equal(t, "destroyed", slices.Contains(w.did(), "destroy 1"), true)
	})
}

func TestOperatorsKillIsNoFailure(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := started(t)
		w.run(1500 * time.Millisecond)
		g := w.gen(1)
		g.refused = func() { g.exit(sandbox.Exit{Status: 143}) }
		if err := w.engine.Signal(t.Context(), api.SignalRequest{Signal: sigTerm}); err != nil {
			t.Fatal(err)
		}
		g.fail(failure.State{Kind: failure.Signal, Signo: int32(unix.SIGTERM), Key: 1})
		expect.Equal(t, "status", (<-w.exit).Status, 143)
		expect.Equal(t, "episodes", len(w.episodes()), 0)
	})
}

func TestSignalLongBeforeIsNoExcuse(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := started(t)
		if err := w.engine.Signal(t.Context(), api.SignalRequest{Signal: sigTerm}); err != nil {
			t.Fatal(err)
		}
		w.run(explainTime + time.Second)
		w.gen(1).fail(failure.State{Kind: failure.Signal, Signo: int32(unix.SIGTERM), Key: 1})
		synctest.Wait()
		expect.Equal(t, "generation", w.state().Generation, 2)
		w.end()
	})
}
