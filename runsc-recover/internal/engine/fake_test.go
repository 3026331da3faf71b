package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/config"
	"runsc-recover/checkpoint/pageindex"
	"runsc-recover/checkpoint/store"
	"runsc-recover/oci/statedir"
	"runsc-recover/runsc-recover/internal/api"
	"runsc-recover/runsc-recover/internal/engine/event"
	"runsc-recover/runsc-recover/internal/episode"
	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/sentry/failure"
	"runsc-recover/sentry/wire"
)

// world is a container made of fake sandboxes, in a synctest bubble.
type world struct {
	t      *testing.T
	engine *Engine
	store  *flakyStore
	exit   chan statedir.Exit

	mu      sync.Mutex
	gens    []*fakeGen
	bootErr error
	boots   chan struct{} // when set, each boot waits for it
	// restoring is how long a restore takes, and unfenceable makes fenced boots fail.
	restoring time.Duration
	// paging is how long a copy's memory takes to come after that, and memory
	// how many pages a checkpoint has.
	paging      time.Duration
	memory      uint64
	unfenceable bool
	// onBoot, when set, is called with each new sandbox.
	onBoot func(g *fakeGen)
	log    []string // calls into sandboxes, in order
	last   Snapshot
	// program, when set, is run by each sandbox that begins to run.
	program func(g *fakeGen)
}

// fakeGen is a sandbox.
type fakeGen struct {
	w      *world
	number int
	opts   sandbox.BootOptions

	mu        sync.Mutex
	events    chan<- sandbox.Event
	closed    bool
	restored  checkpoint.Seq
	told      []sandbox.Release
	signals   []int
	killed    []int
	answers   []error
	ckptErr   error
	ckptBlock chan struct{}
	ckptCost  checkpoint.Cost
	refused   func()
	restErr   error
	relErr    error
	starting  chan struct{} // when set, Start waits for it
	lingers   time.Duration // how long Start takes to return once the program runs
	deaf      chan struct{} // when set, the answer to a thread is taken once it is closed
	mute      chan struct{} // when set, a signal is answered once it is closed, with a hangup
}

// testConfig is the default but for the standby, whose tests ask for one.
func testConfig() config.Config {
	c, err := config.Parse(map[string]string{"standby": "cold"})
	if err != nil {
		panic(err)
	}
	return c
}

// newWorld starts a container, with its engine running.
func newWorld(t *testing.T, change ...func(*Options)) *world {
	t.Helper()
	w := &world{t: t, exit: make(chan statedir.Exit, 1)}
	mem := store.NewMemory(store.Options{GVisorVersion: "g", Arch: "a", ContainerID: "c"})
	w.store = &flakyStore{Store: mem}
	dir := t.TempDir()
	opts := Options{
		Identity:       checkpoint.Manifest{GVisorVersion: "g", Arch: "a", ContainerID: "c"},
		Config:         testConfig(),
		Store:          w.store,
		Boot:           w.boot,
		Template:       sandbox.BootOptions{Containers: []sandbox.ContainerOptions{{Name: "c"}}},
		GenerationID:   func(n int) string { return fmt.Sprint("gen-", n) },
		GenerationRoot: func(n int) string { return filepath.Join(dir, fmt.Sprint(n)) },
		EpisodesFile:   filepath.Join(dir, "episodes.json"),
		Saved:          func(s Snapshot) { w.mu.Lock(); w.last = s; w.mu.Unlock() },
		Log:            slog.New(slog.NewTextHandler(logTo{t}, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, f := range change {
		f(&opts)
	}
	w.engine = New(opts)
	if err := w.engine.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	go func() { w.exit <- w.engine.Run(context.Background()) }()
	return w
}

// started is newWorld after start.
func started(t *testing.T, change ...func(*Options)) *world {
	t.Helper()
	w := newWorld(t, change...)
	w.start()
	return w
}

// start lets the program run.
func (w *world) start() {
	w.t.Helper()
	if err := w.engine.Start(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

type logTo struct{ t *testing.T }

func (l logTo) Write(p []byte) (int, error) {
	l.t.Logf("%s", p)
	return len(p), nil
}

func (w *world) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = append(w.log, fmt.Sprintf(format, args...))
}

func (w *world) did() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.log)
}

// gen returns the n-th sandbox.
func (w *world) gen(n int) *fakeGen {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if n > len(w.gens) {
		w.t.Fatalf("no generation %d; there are %d", n, len(w.gens))
	}
	return w.gens[n-1]
}

// engineState is the part of an engine that tests look at.
type engineState struct {
	Status          string
	Generation      int
	Phase           string
	LastCheckpoint  checkpoint.Seq // 0 for none
	CheckpointError string
	Standby         statedir.Standby
}

func (w *world) state() engineState {
	w.t.Helper()
	e := w.engine
	a, err := e.ask(w.t.Context(), func(id uint64) event.Event { return event.Looked{Request: id} })
	v := a.view
	s := engineState{
		Status: string(v.Status), Generation: v.Generation, Phase: v.Phase.String(), CheckpointError: v.Problem, Standby: v.Standby,
	}
	if !s.Standby.Since.IsZero() {
		s.Standby.Since = e.clock.wall(s.Standby.Since)
	}
	if n := len(v.Kept); n > 0 {
		s.LastCheckpoint = v.Kept[n-1].Seq
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// run lets time pass.
func (w *world) run(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (w *world) episodes() []api.Episode {
	w.t.Helper()
	eps, err := episode.Load(w.engine.opts.EpisodesFile)
	if err != nil {
		w.t.Fatal(err)
	}
	return eps
}

// end shuts the container down, so that no goroutine is left in the bubble.
func (w *world) end() {
	w.t.Helper()
	if err := w.engine.Shutdown(w.t.Context()); err != nil {
		w.t.Error(err)
	}
	<-w.exit
	synctest.Wait()
}

func (w *world) boot(ctx context.Context, opts sandbox.BootOptions) (sandbox.Sandbox, error) {
	w.mu.Lock()
	boots := w.boots
	w.mu.Unlock()
	if boots != nil {
		select {
		case <-boots:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.bootErr != nil {
		return nil, w.bootErr
	}
	if w.unfenceable && opts.Fenced {
		return nil, sandbox.ErrNotFenced
	}
	g := &fakeGen{w: w, number: opts.Generation, opts: opts, events: opts.Events}
	w.gens = append(w.gens, g)
	if w.onBoot != nil {
		w.onBoot(g)
	}
	w.log = append(w.log, fmt.Sprintf("boot %d", opts.Generation))
	return g, nil
}

func (g *fakeGen) send(ev sandbox.Event) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.events <- ev
	}
}

// fail reports a failure, as the agent does.
func (g *fakeGen) fail(f failure.State) {
	if f.Time.IsZero() {
		f.Time = time.Now()
	}
	g.send(sandbox.Event{Generation: g.number, Failure: &f})
}

// exit ends the first process.
func (g *fakeGen) exit(x sandbox.Exit) {
	g.send(sandbox.Event{Generation: g.number, Exited: &x})
	g.close()
}

func (g *fakeGen) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.closed = true
		close(g.events)
	}
}

// Container is the sandbox itself, which holds one.
func (g *fakeGen) Container(string) sandbox.Container { return g }

func (g *fakeGen) begin() {
	if g.w.program != nil {
		go g.w.program(g)
	}
}

func (g *fakeGen) Start(context.Context) error {
	g.w.note("start %d", g.number)
	if g.starting != nil {
		<-g.starting
	}
	g.begin()
	time.Sleep(g.lingers)
	return nil
}

func (g *fakeGen) Restore(_ context.Context, img checkpoint.Image) error {
	defer img.Close()
	seq := img.Manifest().Seq
	g.w.mu.Lock()
	takes := g.w.restoring
	g.w.mu.Unlock()
	time.Sleep(takes)
	g.w.note("restore %d from %d", g.number, seq)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.restored = seq
	return g.restErr
}

func (g *fakeGen) Loaded(ctx context.Context) error {
	g.w.mu.Lock()
	takes := g.w.paging
	g.w.mu.Unlock()
	select {
	case <-time.After(takes):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *fakeGen) Release(_ context.Context, r sandbox.Release) error {
	g.w.note("release %d", g.number)
	g.mu.Lock()
	g.told = append(g.told, r)
	err := g.relErr
	g.mu.Unlock()
	switch {
	case err == nil:
		g.begin()
	case errors.Is(err, sandbox.ErrGone):
		g.close()
	}
	return err
}

func (g *fakeGen) Checkpoint(ctx context.Context, _ checkpoint.Seq, st checkpoint.Staging) (sandbox.CheckpointResult, error) {
	g.mu.Lock()
	err, block, cost := g.ckptErr, g.ckptBlock, g.ckptCost
	g.mu.Unlock()
	if block != nil {
		select {
		case <-block:
		case <-ctx.Done():
			return sandbox.CheckpointResult{}, ctx.Err()
		}
	}
	if err != nil {
		return sandbox.CheckpointResult{}, err
	}
	time.Sleep(cost.Pause())
	g.w.mu.Lock()
	pages := g.w.memory
	g.w.mu.Unlock()
	var index []pageindex.Run
	if pages > 0 {
		index = append(index, pageindex.Run{Source: pageindex.Staged, Pages: pages})
		if err := st.File(checkpoint.FileStaged).Truncate(int64(pages * pageindex.PageSize)); err != nil {
			return sandbox.CheckpointResult{}, err
		}
	}
	for name, contents := range map[checkpoint.FileName][]byte{
		checkpoint.FileKernel:    fmt.Appendf(nil, "kernel of %d", g.number),
		checkpoint.FilePageIndex: pageindex.AppendTo(nil, index),
	} {
		if _, err := st.File(name).Write(contents); err != nil {
			return sandbox.CheckpointResult{}, err
		}
	}
	return sandbox.CheckpointResult{Cost: cost}, nil
}

func (g *fakeGen) CheckpointDone(_ context.Context, r wire.CheckpointRequest, err error) error {
	if g.deaf != nil {
		<-g.deaf
	}
	g.w.note("answer %d thread %d: %v", g.number, r.TID, err)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.answers = append(g.answers, err)
	return nil
}

func (g *fakeGen) Refuse(context.Context) error {
	g.w.note("refuse %d", g.number)
	if g.refused != nil {
		g.refused()
	}
	return nil
}

func (g *fakeGen) Hangup(context.Context) error { return nil }

func (g *fakeGen) Fail(_ context.Context, f failure.State) error {
	g.fail(f)
	return nil
}

func (g *fakeGen) SetMemory(_ context.Context, size uint64) error {
	g.w.note("%d has %d MiB", g.number, size>>20)
	return nil
}

func (g *fakeGen) Signal(_ context.Context, sig int, _ bool) error {
	g.w.note("signal %d: %d", g.number, sig)
	g.mu.Lock()
	g.signals = append(g.signals, sig)
	mute := g.mute
	g.mu.Unlock()
	if mute != nil {
		<-mute
		return errors.New("connection reset by peer")
	}
	if sig == sigKill {
		g.exit(sandbox.Exit{Status: 137})
	}
	return nil
}

func (g *fakeGen) KillProcess(_ context.Context, pid int) error {
	g.killed = append(g.killed, pid)
	return nil
}

func (g *fakeGen) SignalForeground(context.Context, int) error { return nil }

// Pause takes a while, so that another can come in between.
func (g *fakeGen) Pause(context.Context) error {
	g.w.note("pause %d", g.number)
	time.Sleep(time.Millisecond)
	return nil
}

func (g *fakeGen) Resume(context.Context) error {
	g.w.note("resume %d", g.number)
	return nil
}

func (g *fakeGen) Processes(context.Context) ([]sandbox.Process, error) {
	return []sandbox.Process{{PID: 1, Cmd: "program"}}, nil
}

func (g *fakeGen) Network(context.Context) (sandbox.Network, error) { return "the network", nil }
func (g *fakeGen) SaveImage(context.Context, string, bool) error    { return nil }
func (g *fakeGen) Pids() []int                                      { return []int{os.Getpid()} }
func (g *fakeGen) Handle() sandbox.Handle                           { return sandbox.Handle{Root: g.opts.Root, ID: g.opts.ID} }

func (g *fakeGen) Destroy() error {
	g.w.note("destroy %d", g.number)
	g.close()
	return nil
}

// flakyStore is a store that can be made to fail.
type flakyStore struct {
	checkpoint.Store
	mu       sync.Mutex
	stageErr error
	damaged  map[checkpoint.Seq]bool
	publish  chan struct{} // Publish waits for it
	each     int64         // bytes that every checkpoint takes; 0: its real size
}

func (s *flakyStore) set(f func(*flakyStore)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

func (s *flakyStore) Stage(ctx context.Context, parent checkpoint.Seq) (checkpoint.Staging, error) {
	s.mu.Lock()
	err, publish := s.stageErr, s.publish
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	st, err := s.Store.Stage(ctx, parent)
	return slowStaging{st, publish}, err
}

func (s *flakyStore) Open(ctx context.Context, seq checkpoint.Seq) (checkpoint.Image, error) {
	s.mu.Lock()
	damaged := s.damaged[seq]
	s.mu.Unlock()
	if damaged {
		return nil, fmt.Errorf("read pages: %w", checkpoint.ErrDamaged)
	}
	return s.Store.Open(ctx, seq)
}

func (s *flakyStore) Usage(ctx context.Context) (checkpoint.Usage, error) {
	s.mu.Lock()
	each := s.each
	s.mu.Unlock()
	if each == 0 {
		return s.Store.Usage(ctx)
	}
	good, _, err := s.List(ctx)
	n := each * int64(len(good))
	return checkpoint.Usage{Bytes: n, Live: n}, err
}

type slowStaging struct {
	checkpoint.Staging
	wait chan struct{}
}

func (s slowStaging) Publish(ctx context.Context, m checkpoint.Manifest) (checkpoint.Manifest, error) {
	if s.wait != nil {
		<-s.wait
	}
	return s.Staging.Publish(ctx, m)
}

var _ io.Writer = logTo{}

func (g *fakeGen) TakeOver(_ context.Context, stopped sandbox.Sandbox) error {
	if old := stopped.(*fakeGen); old.number >= g.number {
		return fmt.Errorf("generation %d takes over from %d", g.number, old.number)
	}
	return nil
}
