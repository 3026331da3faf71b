package engine

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/config"
	"runsc-recover/checkpoint/recovery"
	"runsc-recover/checkpoint/schedule"
	"runsc-recover/oci/statedir"
	"runsc-recover/runsc-recover/internal/episode"
	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/sentry/failure"
)

// Bounds of what the engine waits for. Every call into a sandbox has a
// deadline of its own beside these.
const (
	restoreTime  = 2 * time.Minute
	teardownTime = 20 * time.Second
	// deliveryTime bounds a signal, pause or resume that waits for a copy. It
	// goes on when the command that asked has given up: none is lost.
	deliveryTime = 5 * time.Minute
	// killGrace is how long a sandbox has to end after its first process was
	// sent KILL, before it is destroyed.
	killGrace = 5 * time.Second
)

// Options is what an engine works with. Image, Resume, Saved,
// BeforeStart, AfterStart, OOMKills, Memory, ProcessMemory, ProcessorTime and
// PutNetworkBack may be nil.
type Options struct {
	// Identity holds what is the same in the manifest of every checkpoint.
	Identity checkpoint.Manifest
	Config   config.Config
	Store    checkpoint.Store
	// Boot makes a generation on a thread that lasts.
	Boot func(ctx context.Context, opts sandbox.BootOptions) (sandbox.Sandbox, error)
	// Template holds what is the same for every generation's boot, its one
	// container included. Descriptors in it are the first generation's alone.
	Template sandbox.BootOptions
	// GenerationID and GenerationRoot name the n-th generation.
	GenerationID   func(n int) string
	GenerationRoot func(n int) string
	// Image, when set, is what the first generation is restored from at Start.
	Image func() (checkpoint.Image, error)
	// Resume, when set, makes the container go on from its store at Start.
	Resume *Resume
	// EpisodesFile is where records are kept.
	EpisodesFile string
	// Saved is called from the loop whenever something that state.json holds
	// has changed.
	Saved func(Snapshot)
	// BeforeStart runs before the program does; its error ends the container.
	BeforeStart func(ctx context.Context) error
	// AfterStart runs once the program does.
	AfterStart func(ctx context.Context)
	// OOMKills counts the processes that the kernel killed in the cgroup.
	OOMKills func() uint64
	// Memory is what the container uses of its memory limit.
	Memory func() (schedule.Memory, error)
	// ProcessMemory is the resident memory of host processes, in bytes.
	ProcessMemory func(pids []int) uint64
	// ProcessorTime is how much of processors' time host processes have taken.
	ProcessorTime func(pids []int) time.Duration
	// HostNetwork is set when sandboxes use the namespace's own stack, in which
	// one at a time can listen on a port.
	HostNetwork bool
	// PutNetworkBack readies the namespace for a sandbox that finds its network
	// there. No other is running.
	PutNetworkBack func() error
	Log            *slog.Logger
}

// Snapshot is what state.json shows of an engine.
type Snapshot struct {
	Status      statedir.Status
	Generations []statedir.Generation
	Standby     statedir.Standby
	// CheckpointError says why the last checkpoint could not be taken.
	CheckpointError string
	Exit            *statedir.Exit
}

// Engine carries out what the recovery machine decides, for one container. One
// goroutine, in Run, owns everything below the line; others hand it functions
// to run, so that there are no locks. Whatever may block runs in a goroutine
// of its own and posts its result.
type Engine struct {
	opts   Options
	log    *slog.Logger
	inbox  chan func()
	closed chan struct{} // closed when the loop takes no more
	over   chan struct{} // closed when the container is over and torn down
	tasks  sync.WaitGroup
	ctx    context.Context // ends with the loop
	cancel context.CancelFunc

	// Owned by the loop.
	machine  recovery.State
	events   []recovery.Event // waiting for the step under way
	stepping bool
	started  bool // Start was asked for
	begun    bool // and has worked: there is a program, or will be a copy of it
	paused   bool // the operator wants it paused
	exit     *statedir.Exit
	changed  chan struct{} // closed and replaced when the view changes
	seen     view
	dirty    bool // the snapshot has changed

	current    *generation // runs, or has failed and is kept for Refuse
	copy       *generation // being restored, or held
	live       map[*generation]bool
	lastNumber atomic.Int64 // of a generation; not the loop's alone
	network    sandbox.Network
	clock      runClock
	tick       *time.Timer

	failure  failure.State // the latest
	recovery recoveryState
	ckpt     checkpoints
	standby  standbyState
	journal  episode.Journal
	signals  signalLog
	failing  chan error // the operator who asked for a failure, or nil
	failAsk  failure.State
	oomSeen  uint64
}

// New returns an engine for a container that has no sandbox yet.
func New(opts Options) *Engine {
	e := &Engine{
		opts:    opts,
		log:     opts.Log,
		inbox:   make(chan func()),
		closed:  make(chan struct{}),
		over:    make(chan struct{}),
		changed: make(chan struct{}),
		live:    make(map[*generation]bool),
		journal: episode.Journal{Path: opts.EpisodesFile},
		standby: standbyState{memory: make(map[config.Standby]uint64)},
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.ckpt.load(e.ctx, opts.Store)
	return e
}

// Create boots the first generation, which then waits for Start.
//
// Preconditions: Run has not been called.
func (e *Engine) Create(ctx context.Context) error {
	if err := e.takeUp(); err != nil {
		return err
	}
	gen, err := e.boot(ctx, bootWish{files: e.opts.Template.Containers[0].PassFiles})
	if err != nil {
		return err
	}
	e.live[gen] = true
	e.makeCurrent(gen)
	e.save()
	return nil
}

// Run is the loop. It returns how the container ended, when nothing of it is
// left. The end of ctx ends the container with status 137.
func (e *Engine) Run(ctx context.Context) statedir.Exit {
	if e.opts.Memory != nil && e.opts.Config.Enabled {
		e.background(e.watchMemory)
	}
	for e.exit == nil {
		select {
		case f := <-e.inbox:
			f()
		case <-ctx.Done():
			e.step(recovery.Shutdown{Status: 128 + sigKill})
		}
		e.turned()
	}
	close(e.closed)
	e.teardown()
	return *e.exit
}

// turned ends a turn of the loop: what changed is saved, who waits is woken.
func (e *Engine) turned() {
	e.keep()
	if v := e.view(); v != e.seen {
		e.seen = v
		close(e.changed)
		e.changed = make(chan struct{})
	}
}

// view is what requests that wait for a running generation look at.
type view struct {
	gen   *generation
	ready bool // gen runs
}

func (e *Engine) view() view {
	return view{
		gen:   e.current,
		ready: e.begun && !e.recovering() && !e.current.failing && !e.current.ended,
	}
}

// keep saves what changed, so that whoever is answered next finds it in the
// state file. A copy that is being released waits for no file, and that the
// container is over is saved by teardown, when it is true.
func (e *Engine) keep() {
	if e.exit == nil && e.copy == nil {
		e.save()
	}
}

func (e *Engine) save() {
	if err := e.journal.Save(); err != nil {
		e.log.Error("save episodes", "error", err)
	}
	if e.dirty && e.opts.Saved != nil {
		e.opts.Saved(e.snapshot())
	}
	e.dirty = false
}

func (e *Engine) snapshot() Snapshot {
	s := Snapshot{Status: e.status(), Exit: e.exit, Standby: e.standby.view(), CheckpointError: e.ckpt.problem}
	for gen := range e.live {
		s.Generations = append(s.Generations, gen.record)
	}
	return s
}

// status is the container's in the OCI specification's words. A container that
// is being recovered runs: the program comes back.
func (e *Engine) status() statedir.Status {
	switch {
	case e.exit != nil:
		return statedir.StatusStopped
	case !e.started:
		return statedir.StatusCreated
	case e.paused && e.current.paused:
		return statedir.StatusPaused
	}
	return statedir.StatusRunning
}

// recovering reports whether there is no running copy at the moment but there
// will be, or the container will end.
func (e *Engine) recovering() bool {
	switch e.machine.Phase {
	case recovery.Restoring:
		return true
	case recovery.Exhausted:
		return e.machine.Restarting
	}
	return false
}

// post hands f to the loop. It reports false when the loop has ended; f is
// then never called.
func (e *Engine) post(f func()) bool {
	select {
	case e.inbox <- f:
		return true
	case <-e.closed:
		return false
	}
}

// background runs f in a goroutine that teardown waits for.
func (e *Engine) background(f func()) {
	e.tasks.Go(f)
}

// step gives the machine an event and does what it answers. An event that
// comes up while actions are carried out waits until they are.
func (e *Engine) step(ev recovery.Event) {
	e.events = append(e.events, ev)
	if e.stepping {
		return
	}
	e.stepping = true
	defer func() { e.stepping = false }()
	for len(e.events) > 0 {
		var actions []recovery.Action
		next := e.events[0]
		e.events = e.events[1:]
		before := e.machine.Phase
		e.machine, actions = recovery.Step(e.opts.Config, e.machine, next)
		e.log.Debug("step", "event", next, "from", before, "to", e.machine.Phase)
		for _, a := range actions {
			e.perform(a)
		}
	}
}

// perform carries out one action of the machine.
func (e *Engine) perform(a recovery.Action) {
	now := time.Now()
	switch a := a.(type) {
	case recovery.BeginEpisode:
		e.beginEpisode(a, now)
	case recovery.BeginAttempt:
		e.log.Info("attempt begins", "attempt", a.Attempt, "level", a.Level, "checkpoint", a.Seq, "reasons", a.Reasons)
		e.journal.BeginAttempt(a, e.recovery.failedAt, e.recovery.stopTook)
	case recovery.EndAttempt:
		e.log.Info("attempt ends", "outcome", a.Outcome, "reasons", a.Reasons)
		e.journal.EndAttempt(a)
	case recovery.EndEpisode:
		e.log.Info("episode ends", "outcome", a.Outcome, "reasons", a.Reasons)
		e.journal.EndEpisode(a, now)
	case recovery.Restore:
		e.restore(a.Seq)
	case recovery.Release:
		e.release(a)
	case recovery.Refuse:
		e.refuse(a.Reasons)
	case recovery.RestartFresh:
		e.restartFresh(a)
	case recovery.Exit:
		e.finish(a.Status, a.Reasons)
	case recovery.SetTimer:
		e.setTimer(a.After)
	case recovery.CancelTimer:
		e.tick = stopTimer(e.tick)
	case recovery.Remove:
		e.removeCheckpoints(a.Seqs)
	case recovery.Fail:
		e.failCurrent()
	case recovery.Reject:
		e.answerFail(e.rejected(a.Reasons))
	}
}

func (e *Engine) setTimer(after time.Duration) {
	stopTimer(e.tick)
	// A paused container doesn't age: its tick finds that time has stood
	// still and is asked for again, so it must not come at once.
	e.tick = time.AfterFunc(max(after, 10*time.Millisecond), func() {
		e.post(func() { e.step(recovery.Tick{RunTime: e.clock.read(time.Now())}) })
	})
}

func stopTimer(t *time.Timer) *time.Timer {
	if t != nil {
		t.Stop()
	}
	return nil
}

// finish ends the container. The loop leaves after this turn.
func (e *Engine) finish(status int, reasons []string) {
	if e.exit != nil {
		return
	}
	e.log.Info("container ends", "status", status, "reasons", reasons)
	e.exit = &statedir.Exit{Status: status, At: time.Now()}
	e.dirty = true
}

// teardown destroys all sandboxes, waits for what still runs and lets the
// store go. Those who wait for the end are told last.
func (e *Engine) teardown() {
	e.cancel()
	e.tick = stopTimer(e.tick)
	e.ckpt.stop()
	e.standby.stop()
	for gen := range e.live {
		e.background(func() { e.destroyNow(gen) })
	}
	done := make(chan struct{})
	go func() {
		e.tasks.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(teardownTime):
		e.log.Error("sandbox didn't end in time; it ends with this process")
	}
	if err := e.opts.Store.Close(); err != nil {
		e.log.Error("close checkpoint store", "error", err)
	}
	clear(e.live)
	e.dirty = true
	e.save()
	close(e.over)
}
