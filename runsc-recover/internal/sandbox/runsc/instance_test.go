package runsc

import (
	"errors"
	"os"
	"sync"
	"testing"

	"gvisor.dev/gvisor/runsc/boot"
	"gvisor.dev/gvisor/runsc/config"
	"gvisor.dev/gvisor/runsc/container"
	gvsandbox "gvisor.dev/gvisor/runsc/sandbox"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/memfile"
	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/runsc-recover/internal/sandbox/dockerdns"
	"runsc-recover/runsc-recover/internal/sandbox/fence"
	"runsc-recover/runsc-recover/internal/sandbox/rxqueue"
	"runsc-recover/sentry/failure"
	"runsc-recover/sentry/wire"
	"runsc-recover/test/expect"
)

// fakeSandbox is an instance without gVisor, whose agent is the test's. It notes
// the requests to the agent.
type fakeSandbox struct {
	*instance
	*peer
	heard chan sandbox.Event

	mu   sync.Mutex
	asks []string
}

// newFake returns a sandbox whose agent answers as respond does, which may be
// nil for an agent that succeeds with everything. Events are kept.
func newFake(t *testing.T, respond func(req wire.Request, files []*os.File) *wire.Error) *fakeSandbox {
	t.Helper()
	ch, p := newPeer(t)
	f := &fakeSandbox{peer: p, heard: make(chan sandbox.Event, 16)}
	sb := &gvsandbox.Sandbox{ControlSocketPath: t.TempDir() + "/none"}
	f.instance = &instance{
		id:        "sandbox",
		container: "web",
		root:      t.TempDir(),
		conf:      &config.Config{RootDir: "/root", Network: config.NetworkNone},
		c:         &container.Container{Sandbox: sb},
		sb:        sb,
		agent:     ch,
		events:    &reporter{generation: 3, events: f.heard},
		names:     dockerdns.NewRelay(func(wire.Datagram) {}),
		fence:     &fence.Fence{},
		dead:      &rxqueue.Keeper{},
		steps:     newSteps(),
	}
	serving(ch, f.hear)
	go p.serve(func(req wire.Request, files []*os.File) *wire.Error {
		f.mu.Lock()
		f.asks = append(f.asks, string(req.Verb))
		f.mu.Unlock()
		if respond == nil {
			return nil
		}
		return respond(req, files)
	})
	return f
}

// asked returns the verbs that the agent was asked so far.
func (f *fakeSandbox) asked() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string{}, f.asks...)
}

// onLinks gives the sandbox interfaces of these names.
func (f *fakeSandbox) onLinks(names ...string) {
	args := &boot.CreateLinksAndRoutesArgs{}
	for _, name := range names {
		args.FDBasedLinks = append(args.FDBasedLinks, boot.FDBasedLink{Name: name, NumChannels: 1})
	}
	f.network = args
}

// Messages of the agent become events that name container and generation.
func TestMessagesBecomeEvents(t *testing.T) {
	f := newFake(t, nil)
	f.send(wire.Message{Failure: &failure.State{Kind: failure.Signal, Key: 1, Signo: 11}})
	f.send(wire.Message{Checkpoint: &wire.CheckpointRequest{TID: 7}})
	f.send(wire.Message{Query: &wire.Datagram{Address: []byte{10, 0, 0, 1}, Data: []byte{1}}})
	f.send(wire.Message{Resolved: &wire.Resolved{}})
	for i, is := range []func(sandbox.Event) bool{
		func(e sandbox.Event) bool { return e.Failure != nil && e.Failure.Signo == 11 },
		func(e sandbox.Event) bool { return e.Checkpoint != nil && e.Checkpoint.TID == 7 },
		func(e sandbox.Event) bool { return e.Resolved },
	} {
		e := <-f.heard
		if !is(e) || e.Generation != 3 || e.Container != "web" {
			t.Errorf("event %d: %+v", i, e)
		}
	}
	f.events.close()
	f.send(wire.Message{Resolved: &wire.Resolved{}})
	if e, ok := <-f.heard; ok {
		t.Errorf("an event after the last: %+v", e)
	}
	f.events.report(sandbox.Event{})
}

// A sandbox has the one container that it was booted with.
func TestContainerByName(t *testing.T) {
	f := newFake(t, nil)
	for _, name := range []string{"", "sandbox", "web2", "WEB"} {
		if c := f.Container(name); c != nil {
			t.Errorf("%q: %+v", name, c)
		}
	}
	c := f.Container("web")
	expect.Equal(t, "container", c.Handle(), sandbox.Handle{Root: "/root", ID: "sandbox", Container: "web"})
	expect.Equal(t, "sandbox", f.Handle(), sandbox.Handle{Root: "/root", ID: "sandbox"})
	expect.Equal(t, "error", c.SignalForeground(t.Context(), 2), nil)
	expect.Equal(t, "asked", f.asked()[0], string(wire.VerbForeground))
}

// An agent's reply to a checkpoint is used with care.
func TestCheckpointRepliesAreChecked(t *testing.T) {
	f := newFake(t, nil)
	file, err := memfile.New("staged")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	st := fakeStaging{file: file}
	_, err = f.Checkpoint(t.Context(), 1, st)
	expect.Equal(t, "a reply without a cost", errors.Is(err, wire.ErrMalformed), true)

	ch, p := newPeer(t)
	f.agent = ch
	serving(ch, f.hear)
	go func() {
		req, _, _ := p.receive()
		p.reply(wire.Reply{ID: req.ID, Checkpoint: &wire.CheckpointCost{Stop: -1, Kernel: 2, Copy: -3, Tracking: "t"}})
	}()
	r, err := f.Checkpoint(t.Context(), 1, st)
	expect.Equal(t, "error", err, nil)
	expect.Equal(t, "negative stop", r.Cost.Stop, 0)
	expect.Equal(t, "kernel", r.Cost.Kernel, 2)
	expect.Equal(t, "negative copy", r.Cost.Copy, 0)
}

// fakeStaging has one file under every name but that of the full memory.
type fakeStaging struct {
	checkpoint.Staging
	file *os.File
}

func (fakeStaging) Parent() checkpoint.Seq { return 0 }

func (s fakeStaging) File(name checkpoint.FileName) *os.File {
	if name == checkpoint.FileFull {
		return nil
	}
	return s.file
}
