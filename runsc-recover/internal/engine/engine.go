package engine

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/config"
	"runsc-recover/checkpoint/schedule"
	"runsc-recover/oci/statedir"
	"runsc-recover/runsc-recover/internal/engine/event"
	"runsc-recover/runsc-recover/internal/engine/lifecycle"
	"runsc-recover/runsc-recover/internal/episode"
	"runsc-recover/runsc-recover/internal/sandbox"
)

const (
	// restoreTime bounds loading a checkpoint in a sandbox, and starting a
	// program afresh. Every call into a sandbox has a deadline of its own beside.
	restoreTime = 2 * time.Minute
	// teardownTime bounds the end of the container's sandboxes.
	teardownTime = 20 * time.Second
	sigKill      = 9
)

// Options are an engine's configuration, and the functions that it calls. Image,
// Resume, Saved, Changed, BeforeStart, AfterStart, OOMKills, Memory, ProcessMemory,
// ProcessorTime and PutNetworkBack may be nil.
type Options struct {
	// Identity holds the fields that every checkpoint's manifest shares.
	Identity checkpoint.Manifest
	Config   config.Config
	Store    checkpoint.Store
	// Boot makes a sandbox on a thread that lasts.
	Boot func(ctx context.Context, opts sandbox.BootOptions) (sandbox.Sandbox, error)
	// Template holds the options that every generation's boot shares, its one
	// container included. Descriptors in it are the first generation's alone.
	Template sandbox.BootOptions
	// GenerationID and GenerationRoot name the n-th generation.
	GenerationID   func(n int) string
	GenerationRoot func(n int) string
	// Image, when set, opens the image that the first generation is restored
	// from at Start.
	Image func() (checkpoint.Image, error)
	// Resume, when set, makes the container go on from its store at Start.
	Resume *Resume
	// EpisodesFile is where records are kept.
	EpisodesFile string
	// Saved is called whenever the contents of state.json have changed, from one
	// goroutine at a time, and may block. Changed is called by the loop before that,
	// and must not block.
	Saved, Changed func(Snapshot)
	// BeforeStart runs before the program does; its error ends the container.
	BeforeStart func(ctx context.Context) error
	// AfterStart runs once the program does.
	AfterStart func(ctx context.Context)
	// OOMKills counts the processes that the kernel killed in the cgroup.
	OOMKills func() uint64
	// Memory is the container's use of its memory limit.
	Memory func() (schedule.Memory, error)
	// ProcessMemory is the resident memory of host processes, in bytes.
	ProcessMemory func(pids []int) uint64
	// ProcessorTime is how much of processors' time host processes have taken.
	ProcessorTime func(pids []int) time.Duration
	// PutNetworkBack readies the namespace for a sandbox that finds its network
	// there. No other sandbox is running.
	PutNetworkBack func() error
	Log            *slog.Logger
}

// Snapshot is an engine's part of state.json.
type Snapshot struct {
	Status      statedir.Status
	Generations []statedir.Sandbox
	Standby     statedir.Standby
	// CheckpointError says why the last checkpoint could not be taken.
	CheckpointError string
	Exit            *statedir.Exit
}

// Owns reports whether pid is a process of a sandbox that still exists, for the
// reaper.
func (s Snapshot) Owns(pid int) bool {
	for _, g := range s.Generations {
		for _, p := range g.Processes {
			if p.Pid == pid {
				return true
			}
		}
	}
	return false
}

// Engine carries out the decisions for one container.
type Engine struct {
	opts   Options
	log    *slog.Logger
	clock  clock
	inbox  chan message
	closed chan struct{} // closed when the loop takes no more
	over   chan struct{} // closed when the container is over and torn down
	tasks  sync.WaitGroup
	ctx    context.Context // ends with the loop
	cancel context.CancelFunc
	// lastRequest numbers the requests.
	lastRequest atomic.Uint64
	recorder    *recorder
	unsaved     atomic.Bool // the recorder could not save the records

	// Owned by the loop.
	life      lifecycle.Lifecycle
	sandboxes map[int]*handle
	requests  map[uint64]*pending
	timers    map[timerKey]timer
	lastTimer uint64
	journal   episode.Journal
	network   sandbox.Network
	taking    *takenCheckpoint
	start     *pending         // the first request for it
	opened    chan openedImage // the checkpoint that was opened ahead; nil for none
	exit      *statedir.Exit
}

// message is an event on its way to the loop, with the live objects that belong to
// it and that an event can't hold.
type message struct {
	event   event.Event
	handle  *handle         // of Booted
	network sandbox.Network // of NetworkRead
	request *pending        // of a command's event
	timer   uint64          // of TimerFired: its serial
}

// New returns an engine for a container that has no sandbox yet.
func New(opts Options) *Engine {
	e := &Engine{
		opts:      opts,
		log:       opts.Log,
		clock:     newClock(),
		inbox:     make(chan message),
		closed:    make(chan struct{}),
		over:      make(chan struct{}),
		recorder:  newRecorder(),
		sandboxes: make(map[int]*handle),
		requests:  make(map[uint64]*pending),
		timers:    make(map[timerKey]timer),
		journal:   episode.Journal{Path: opts.EpisodesFile},
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	return e
}

// Create boots the first sandbox, whose program then waits for Start. After an
// error Run has still to be called, to end a sandbox that may be there.
//
// Preconditions: called once, before Run.
func (e *Engine) Create(ctx context.Context) error {
	opened, err := e.open(ctx)
	if err != nil {
		return err
	}
	p := e.newRequest()
	opened.Request = p.id
	e.turn(message{event: opened, request: p})
	for {
		select {
		case m := <-e.inbox:
			e.turn(m)
		case r := <-p.answer:
			return r.err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// open reads the store's checkpoints from before. A store that can't be read is a
// problem to report, not one to end the container for.
func (e *Engine) open(ctx context.Context) (event.Opened, error) {
	o := event.Opened{
		Config: e.opts.Config, HostNetwork: e.opts.Template.NetworkStack == config.NetworkHost,
		Limited: e.opts.Memory != nil, CountsOOM: e.opts.OOMKills != nil,
	}
	kept, bad, err := e.opts.Store.List(ctx)
	if err != nil {
		o.Problem = err.Error()
	}
	o.Kept = kept
	for seq, err := range bad {
		o.Bad = append(o.Bad, event.BadCheckpoint{Seq: seq, Text: err.Error()})
	}
	return o, e.resume(&o)
}

// Run is the loop. It returns how the container ended, when nothing of it is
// left. The end of ctx ends the container with status 137.
func (e *Engine) Run(ctx context.Context) statedir.Exit {
	done := ctx.Done()
	for e.exit == nil {
		select {
		case m := <-e.inbox:
			e.turn(m)
		case <-done:
			done = nil
			e.turn(message{event: event.ShutdownAsked{Status: 128 + sigKill}})
		}
	}
	close(e.closed)
	e.teardown()
	return *e.exit
}

// turn hands an event to the lifecycle and performs the actions that it asks for.
func (e *Engine) turn(m message) {
	if m.request != nil {
		e.requests[m.request.id] = m.request
	}
	if _, ok := m.event.(event.StartAsked); ok && e.start == nil {
		e.start = m.request
	}
	if ev, ok := m.event.(event.TimerFired); ok && !e.current(ev, m.timer) {
		return
	}
	e.note(m)
	at := e.clock.now()
	actions := e.life.Step(at, m.event)
	e.trace(at, m.event, actions)
	for _, a := range actions {
		e.perform(a)
	}
}

// note takes over the objects that belong to an event.
func (e *Engine) note(m message) {
	switch ev := m.event.(type) {
	case event.Booted:
		if m.handle != nil {
			e.sandboxes[ev.Generation] = m.handle
		}
	case event.Destroyed:
		delete(e.sandboxes, ev.Generation)
	case event.NetworkRead:
		if ev.Err == nil {
			e.network = m.network
		}
	case event.CheckpointTaken:
		e.taking = nil
	case event.RequestDropped:
		delete(e.requests, ev.Request) // its command takes no answer
	}
}

// post hands an event to the loop. It reports false when the loop has ended; the
// event is then lost.
func (e *Engine) post(ev event.Event) bool { return e.send(message{event: ev}) }

func (e *Engine) send(m message) bool {
	select {
	case e.inbox <- m:
		return true
	case <-e.closed:
		return false
	}
}

// background runs f in a goroutine that teardown waits for.
func (e *Engine) background(f func()) { e.tasks.Go(f) }

// teardown destroys all sandboxes, waits for the goroutines that still run and
// lets the store go. Commands that wait for the end are told last.
func (e *Engine) teardown() {
	e.cancel()
	for _, t := range e.timers {
		t.Stop()
	}
	for _, h := range e.sandboxes {
		e.background(func() { e.destroyNow(h) })
	}
	e.closeImage()
	done := make(chan struct{})
	go func() {
		e.tasks.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(teardownTime):
		e.log.Error("sandbox not ended in time, and left to end with this process")
	}
	if err := e.opts.Store.Close(); err != nil {
		e.log.Error("checkpoint store not closed", "error", err)
	}
	clear(e.sandboxes)
	e.save()
	e.recorder.finish()
	close(e.over)
}
