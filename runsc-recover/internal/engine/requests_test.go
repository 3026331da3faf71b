package engine

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/schedule"
	"runsc-recover/oci/errdefs"
	"runsc-recover/runsc-recover/internal/api"
	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/sentry/wire"
	"runsc-recover/test/expect"
)

func TestFirstCheckpointIsEarly(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := started(t)
		w.run(firstDelay / 2)
		expect.Equal(t, "before", w.state().LastCheckpoint, 0)
		w.run(firstDelay)
		expect.Equal(t, "after", w.state().LastCheckpoint, 1)
		w.end()
	})
}

// A program may have asked for a checkpoint before its start has returned.
func TestProgramsOwnCheckpointIsTheFirst(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gen(1)
		g.starting = make(chan struct{})
		start := make(chan error, 1)
		go func() { start <- w.engine.Start(t.Context()) }()
		synctest.Wait()
		g.send(sandbox.Event{Checkpoint: &wire.CheckpointRequest{TID: 1}})
		synctest.Wait()
		close(g.starting)
		expect.Equal(t, "start", <-start, nil)
		w.run(2 * firstDelay)
		expect.Equal(t, "taken", w.state().LastCheckpoint, 1)
		w.run(w.engine.opts.Config.Interval)
		expect.Equal(t, "after the interval", w.state().LastCheckpoint, 2)
		w.end()
	})
}

func TestProgramsCheckpointsAreAnsweredOnceEach(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := started(t)
		g := w.gen(1)
		g.mu.Lock()
		g.ckptBlock = make(chan struct{})
		g.mu.Unlock()
		g.send(sandbox.Event{Checkpoint: &wire.CheckpointRequest{TID: 1}})
		synctest.Wait()
		g.send(sandbox.Event{Checkpoint: &wire.CheckpointRequest{TID: 2}})
		g.send(sandbox.Event{Checkpoint: &wire.CheckpointRequest{TID: 3}})
		synctest.Wait()
		expect.Equal(t, "answers while the first is taken", len(g.answers), 0)
		close(g.ckptBlock)
		synctest.Wait()
		expect.Equal(t, "answers", len(g.answers), 3)
		expect.Equal(t, "two checkpoints for three requests", w.state().LastCheckpoint, 2)
		for _, err := range g.answers {
			expect.Equal(t, "answer", err, nil)
		}
		w.end()
	})
}

func TestFailureWinsOverCheckpoint(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := started(t)
		w.run(200 * time.Millisecond)
		g := w.gen(1)
		g.mu.Lock()
		g.ckptBlock = make(chan struct{})
		g.mu.Unlock()
		w.run(time.Second)
		g.fail(boom())
		synctest.Wait()
		expect.Equal(t, "restored", w.gen(2).restored, 1)
		list, err := w.engine.Checkpoints(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		expect.Equal(t, "checkpoints", len(list), 1)
		expect.Equal(t, "no complaint", w.state().CheckpointError, "")
		w.end()
	})
}

func TestPublishedTooLateIsRemoved(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := started(t)
		w.run(200 * time.Millisecond)
		publish := make(chan struct{})
		w.store.set(func(s *flakyStore) { s.publish = publish })
		w.run(time.Second)
		w.gen(1).fail(boom())
		synctest.Wait()
		expect.Equal(t, "generation", w.state().Generation, 2)
		w.store.set(func(s *flakyStore) { s.publish = nil })
		close(publish)
		synctest.Wait()
		good, _, err := w.store.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range good {
			if m.Seq == 2 {
				t.Error("the checkpoint that the failure overtook is still in the store")
			}
		}
		w.run(2 * time.Second)
		expect.Equal(t, "checkpoints go on", w.state().LastCheckpoint > 2, true)
		w.end()
	})
}

func TestFullStoreIsSaidAndRetried(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := started(t)
		w.store.set(func(s *flakyStore) { s.stageErr = checkpoint.ErrFull })
		w.run(5 * time.Second)
		if e := w.state().CheckpointError; !strings.Contains(e, "no room") {
			t.Errorf("checkpoint error: %q", e)
		}
		expect.Equal(t, "status", w.state().Status, "running")
		_, err := w.engine.Checkpoint(t.Context())
		expect.Equal(t, "operator's checkpoint", errors.Is(err, checkpoint.ErrFull), true)
		w.store.set(func(s *flakyStore) { s.stageErr = nil })
		w.run(2 * time.Minute)
		expect.Equal(t, "error cleared", w.state().CheckpointError, "")
		expect.Equal(t, "resumed", w.state().LastCheckpoint > 0, true)
		w.end()
	})
}

func TestUnsavableProgramRunsOn(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := started(t)
		g := w.gen(1)
		g.mu.Lock()
		g.ckptErr = sandbox.ErrUnsavable
		g.mu.Unlock()
		w.run(time.Second)
		_, err := w.engine.Checkpoint(t.Context())
		expect.Equal(t, "code", errdefs.CodeOf(err), errdefs.CodeUnsavable)
		g.send(sandbox.Event{Checkpoint: &wire.CheckpointRequest{TID: 1}})
		synctest.Wait()
		expect.Equal(t, "program's answer", errors.Is(g.answers[0], sandbox.ErrUnsavable), true)
		g.mu.Lock()
		g.ckptErr = nil
		g.mu.Unlock()
		_, err = w.engine.Checkpoint(t.Context())
		expect.Equal(t, "later", err, nil)
		w.end()
	})
}

func TestRetentionBoundsTheStore(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := started(t)
		w.run(100 * time.Second)
		good, _, err := w.store.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n := len(good); n < 4 || n > w.engine.opts.Config.Retain+1 {
			t.Errorf("%d checkpoints kept", n)
		}
		list, err := w.engine.Checkpoints(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		expect.Equal(t, "listed", len(list), len(good))
		w.end()
	})
}

// A store's limit is kept by letting the oldest go; a checkpoint that is too
// large by itself is refused, and the program runs on.
func TestTheStoreHasALimit(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := started(t, func(o *Options) { o.Config.StoreLimit = 100 << 20 })
		w.store.set(func(s *flakyStore) { s.each = 30 << 20 })
		w.run(20 * time.Second)
		list, err := w.engine.Checkpoints(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		expect.Equal(t, "kept", len(list), 3)
		w.store.set(func(s *flakyStore) { s.stageErr = checkpoint.ErrLimit })
		_, err = w.engine.Checkpoint(t.Context())
		expect.Equal(t, "refused with", api.Classify(err).Code, errdefs.CodeStoreLimit)
		w.run(20 * time.Second)
		again, err := w.engine.Checkpoints(t.Context())
		if err != nil || again[len(again)-1].Seq != list[len(list)-1].Seq {
			t.Errorf("the last good one is gone: %v, %v", again, err)
		}
		w.end()
	})
}

// slowRestore makes generation 2 wait in Restore until the channel is closed.
func slowRestore(w *world) chan struct{} {
	gate := make(chan struct{})
	boot := w.engine.opts.Boot
	w.engine.opts.Boot = func(ctx context.Context, o sandbox.BootOptions) (sandbox.Sandbox, error) {
		if o.Generation == 2 {
			<-gate
		}
		return boot(ctx, o)
	}
	return gate
}

// during runs f while the container is being recovered.
func during(t *testing.T, f func(t *testing.T, w *world, proceed func())) {
	t.Helper()
	scenario(t, func(t *testing.T) {
		w := newWorld(t)
		gate := slowRestore(w)
		w.start()
		w.run(1500 * time.Millisecond)
		w.gen(1).fail(boom())
		synctest.Wait()
		expect.Equal(t, "phase", w.state().Phase, "restoring")
		f(t, w, func() {
			close(gate)
			synctest.Wait()
		})
	})
}

func TestSignalDuringRecoveryReachesTheCopy(t *testing.T) {
	during(t, func(t *testing.T, w *world, proceed func()) {
		done := make(chan error, 1)
		go func() { done <- w.engine.Signal(t.Context(), api.SignalRequest{Signal: 10}) }()
		synctest.Wait()
		proceed()
		expect.Equal(t, "signal", <-done, nil)
		expect.Equal(t, "copy got it", slices.Equal(w.gen(2).signals, []int{10}), true)
		expect.Equal(t, "the failed one didn't", len(w.gen(1).signals), 0)
		w.end()
	})
}

func TestSignalOutlivesItsCommand(t *testing.T) {
	during(t, func(t *testing.T, w *world, proceed func()) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := w.engine.Signal(ctx, api.SignalRequest{Signal: 10})
		expect.Equal(t, "command gave up", errors.Is(err, context.DeadlineExceeded), true)
		synctest.Wait()
		expect.Equal(t, "requests kept", len(w.engine.requests), 0)
		proceed()
		expect.Equal(t, "copy got it", slices.Equal(w.gen(2).signals, []int{10}), true)
		w.end()
	})
}

func TestKillDuringRecoveryEndsTheContainer(t *testing.T) {
	during(t, func(t *testing.T, w *world, proceed func()) {
		expect.Equal(t, "kill", w.engine.Signal(t.Context(), api.SignalRequest{Signal: sigKill}), nil)
		proceed()
		expect.Equal(t, "status", (<-w.exit).Status, 137)
		expect.Equal(t, "outcome", w.episodes()[0].Outcome, "open")
		expect.Equal(t, "copy destroyed", slices.Contains(w.did(), "destroy 2"), true)
	})
}

func TestShutdownDuringRecovery(t *testing.T) {
	during(t, func(t *testing.T, w *world, proceed func()) {
		done := make(chan error, 1)
		go func() { done <- w.engine.Shutdown(t.Context()) }()
		synctest.Wait()
		proceed()
		expect.Equal(t, "shutdown", <-done, nil)
		expect.Equal(t, "status", (<-w.exit).Status, 137)
	})
}

func TestPauseDuringRecoveryPausesTheCopy(t *testing.T) {
	during(t, func(t *testing.T, w *world, proceed func()) {
		done := make(chan error, 1)
		go func() { done <- w.engine.Pause(t.Context()) }()
		synctest.Wait()
		proceed()
		expect.Equal(t, "pause", <-done, nil)
		expect.Equal(t, "status", w.state().Status, "paused")
		expect.Equal(t, "paused once", count(w.did(), "pause 2"), 1)
		expect.Equal(t, "pause of a paused one", errors.Is(w.engine.Pause(t.Context()), errdefs.ErrPaused), true)
		expect.Equal(t, "resume", w.engine.Resume(t.Context()), nil)
		expect.Equal(t, "status", w.state().Status, "running")
		expect.Equal(t, "resume of a running one", errors.Is(w.engine.Resume(t.Context()), errdefs.ErrNotPaused), true)
		w.end()
	})
}

func count(list []string, s string) int {
	n := 0
	for _, v := range list {
		if v == s {
			n++
		}
	}
	return n
}

func TestPauseStopsAging(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := started(t)
		w.run(1500 * time.Millisecond)
		w.gen(1).fail(boom())
		synctest.Wait()
		if err := w.engine.Pause(t.Context()); err != nil {
			t.Fatal(err)
		}
		last := w.state().LastCheckpoint
		w.run(time.Minute)
		expect.Equal(t, "phase", w.state().Phase, "probation")
		expect.Equal(t, "no checkpoints of a paused program", w.state().LastCheckpoint, last)
		if err := w.engine.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.run(5 * time.Second)
		expect.Equal(t, "phase", w.state().Phase, "running")
		expect.Equal(t, "checkpoints go on", w.state().LastCheckpoint > last, true)
		w.end()
	})
}

func TestKillThawsPaused(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := started(t)
		if err := w.engine.Pause(t.Context()); err != nil {
			t.Fatal(err)
		}
		expect.Equal(t, "kill", w.engine.Signal(t.Context(), api.SignalRequest{Signal: sigKill}), nil)
		expect.Equal(t, "status", (<-w.exit).Status, 137)
	})
}

func TestSignalBeforeFailureIsRepeated(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := started(t)
		w.run(1500 * time.Millisecond)
		for _, sig := range []unix.Signal{unix.SIGUSR1, unix.SIGTERM} {
			if err := w.engine.Signal(t.Context(), api.SignalRequest{Signal: int(sig)}); err != nil {
				t.Fatal(err)
			}
		}
		w.gen(1).fail(boom())
		synctest.Wait()
		expect.Equal(t, "copy got TERM alone", slices.Equal(w.gen(2).signals, []int{sigTerm}), true)
		w.end()
	})
}

func TestOperatorFail(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := started(t)
		err := w.engine.Fail(t.Context(), api.FailRequest{Code: 3, Message: "drill"})
		expect.Equal(t, "without a checkpoint", errdefs.CodeOf(err), errdefs.CodeCheckpointMissing)
		w.run(time.Second)
		expect.Equal(t, "fail", w.engine.Fail(t.Context(), api.FailRequest{Code: 3, Message: "drill"}), nil)
		synctest.Wait()
		ep := w.episodes()[0]
		expect.Equal(t, "kind", ep.Kind, "operator")
		expect.Equal(t, "code", ep.Code, 3)
		expect.Equal(t, "message", ep.Message, "drill")
		expect.Equal(t, "generation", w.state().Generation, 2)
		w.end()
	})
}

func TestOperatorFailWaitsForTheCopy(t *testing.T) {
	during(t, func(t *testing.T, w *world, proceed func()) {
		done := make(chan error, 1)
		go func() { done <- w.engine.Fail(t.Context(), api.FailRequest{Code: 3}) }()
		synctest.Wait()
		proceed()
		expect.Equal(t, "fail", <-done, nil)
		synctest.Wait()
		expect.Equal(t, "generation", w.state().Generation, 3)
		expect.Equal(t, "episodes", len(w.episodes()), 1)
		w.end()
	})
}

func TestKillBeforeStart(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := newWorld(t)
		expect.Equal(t, "probe", w.engine.Signal(t.Context(), api.SignalRequest{Signal: 0}), nil)
		expect.Equal(t, "kill", w.engine.Signal(t.Context(), api.SignalRequest{Signal: sigKill}), nil)
		expect.Equal(t, "status", (<-w.exit).Status, 137)
	})
}

func TestResolvedEndsProbation(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := started(t)
		w.run(time.Second)
		w.gen(1).fail(boom())
		synctest.Wait()
		w.gen(2).send(sandbox.Event{Resolved: true})
		synctest.Wait()
		expect.Equal(t, "phase", w.state().Phase, "running")
		w.end()
	})
}

func TestLateEventsOfAReplacedSandbox(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := started(t)
		w.run(time.Second)
		w.gen(1).fail(boom())
		w.gen(1).fail(boom())
		w.gen(1).send(sandbox.Event{Resolved: true})
		w.gen(1).exit(sandbox.Exit{Crashed: true})
		synctest.Wait()
		expect.Equal(t, "generation", w.state().Generation, 2)
		expect.Equal(t, "phase", w.state().Phase, "probation")
		expect.Equal(t, "episodes", len(w.episodes()), 1)
		w.end()
	})
}

func TestSaveImageEndsTheContainer(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := started(t)
		expect.Equal(t, "leave running", w.engine.SaveImage(t.Context(), api.SaveImageRequest{LeaveRunning: true}), nil)
		expect.Equal(t, "status", w.state().Status, "running")
		expect.Equal(t, "save", w.engine.SaveImage(t.Context(), api.SaveImageRequest{}), nil)
		expect.Equal(t, "status", (<-w.exit).Status, 137)
	})
}

func TestMemoryLimitIsKept(t *testing.T) {
	scenario(t, func(t *testing.T) {
		use := schedule.Memory{Used: 100 << 20, Limit: 110 << 20}
		w := started(t, func(o *Options) { o.Memory = func() (schedule.Memory, error) { return use, nil } })
		w.run(time.Second)
		if e := w.state().CheckpointError; !strings.Contains(e, "memory limit") {
			t.Errorf("checkpoint error: %q", e)
		}
		expect.Equal(t, "checkpoints", w.state().LastCheckpoint, 0)
		w.end()
	})
}

// TestARequestThatTheEndOvertakesIsRefused: a request that a sandbox which is being
// destroyed can't answer any more is refused in the words for a container that is
// over.
func TestARequestThatTheEndOvertakesIsRefused(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := started(t)
		g := w.gen(1)
		g.mute = make(chan struct{})
		refused := make(chan error, 1)
		go func() { refused <- w.engine.Signal(context.Background(), api.SignalRequest{Signal: 10}) }()
		synctest.Wait()
		go w.engine.Shutdown(context.Background())
		synctest.Wait()
		close(g.mute)
		expect.Equal(t, "answer", errors.Is(<-refused, errdefs.ErrNotRunning), true)
		w.end()
	})
}

// TestASignalThatEndsTheContainerWasDelivered: a program that dies of a signal may
// take its sandbox down before that has answered.
func TestASignalThatEndsTheContainerWasDelivered(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := started(t)
		g := w.gen(1)
		g.mute = make(chan struct{})
		answer := make(chan error, 1)
		go func() { answer <- w.engine.Signal(context.Background(), api.SignalRequest{Signal: sigTerm}) }()
		synctest.Wait()
		g.exit(sandbox.Exit{Status: 128 + sigTerm})
		synctest.Wait()
		close(g.mute)
		expect.Equal(t, "answer", <-answer, nil)
		expect.Equal(t, "status", (<-w.exit).Status, 128+sigTerm)
	})
}

// TestAProgramThatIsOverAtOnceWasStarted: the end of a quick program may be known
// before its start has returned.
func TestAProgramThatIsOverAtOnceWasStarted(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := newWorld(t)
		w.gen(1).lingers = 10 * time.Millisecond
		w.program = func(g *fakeGen) { g.exit(sandbox.Exit{Status: 3}) }
		expect.Equal(t, "start", w.engine.Start(t.Context()), nil)
		expect.Equal(t, "status", (<-w.exit).Status, 3)
	})
}

// A signal given while the start is under way is the program's, once there is
// one; KILL waits for nothing.
func TestSignalsDuringAStart(t *testing.T) {
	for sig, delivered := range map[int]bool{int(unix.SIGUSR1): true, sigKill: false} {
		scenario(t, func(t *testing.T) {
			w := newWorld(t)
			g := w.gen(1)
			g.starting = make(chan struct{})
			go w.engine.Start(context.Background())
			synctest.Wait()
			answer := make(chan error, 1)
			go func() { answer <- w.engine.Signal(context.Background(), api.SignalRequest{Signal: sig}) }()
			synctest.Wait()
			expect.Equal(t, "signals before there is a program", len(g.signals), 0)
			expect.Equal(t, "answered", len(answer) == 1, !delivered)
			close(g.starting)
			expect.Equal(t, "answer", <-answer, nil)
			synctest.Wait()
			expect.Equal(t, "delivered", slices.Equal(g.signals, []int{sig}), delivered)
			if delivered {
				w.end()
			} else {
				<-w.exit
			}
		})
	}
}
