package runsc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"gvisor.dev/gvisor/pkg/control/client"
	"gvisor.dev/gvisor/pkg/log"
	"gvisor.dev/gvisor/pkg/urpc"
	"gvisor.dev/gvisor/runsc/boot"
	"gvisor.dev/gvisor/runsc/config"
	"gvisor.dev/gvisor/runsc/container"
	gvsandbox "gvisor.dev/gvisor/runsc/sandbox"

	"runsc-recover/checkpoint"
	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/runsc-recover/internal/sandbox/dockerdns"
	"runsc-recover/runsc-recover/internal/sandbox/fence"
	"runsc-recover/runsc-recover/internal/sandbox/lazypages"
	"runsc-recover/runsc-recover/internal/sandbox/rxqueue"
	"runsc-recover/sentry/failure"
	"runsc-recover/sentry/wire"
)

// generation implements sandbox.Sandbox on a gVisor container.
type generation struct {
	number int
	root   string
	id     string
	// container is the name of the sandbox's one container.
	container string
	conf      *config.Config
	c         *container.Container
	// sb is c.Sandbox, which Destroy of c clears.
	sb *gvsandbox.Sandbox
	ch *channel
	// gofer is its process, 0 where there is none.
	gofer  int
	names  *dockerdns.Relay
	fence  *fence.Fence
	queues rxqueue.Queues
	// dead has the queues of the sandbox before that died. It is the Booter's.
	dead *rxqueue.Keeper
	// serves is set while the network is left to this sandbox.
	serves atomic.Bool

	reporting sync.Mutex
	events    chan<- sandbox.Event // guarded by reporting; nil once closed
	// started is closed once there is a program to wait for, gone once the
	// sandbox has hung up, reaped once its end is known, exited once that was
	// reported.
	started, gone, reaped, exited chan struct{}
	// adopted is closed when a copy knows what it was restored from.
	adopted chan struct{}

	// pages is what a copy gets its memory from, nil for none.
	pages atomic.Pointer[lazypages.Server]

	// known is what a copy's checkpoint knows of connections. It is set by
	// Restore and closed by Destroy.
	known *os.File

	// stopped is the sandbox that a copy takes over from, nil for one that died.
	// It is set by TakeOver until Release.
	stopped *generation

	// loading is held while gVisor starts or restores the sandbox: whoever
	// reports its end, or destroys it, comes after, for a program may be over
	// before its start has returned. It is taken after mu.
	loading sync.Mutex

	mu sync.Mutex
	// The following are guarded by mu.

	network   sandbox.Network
	destroyed bool
	// keepUntil is when Destroy may kill the sandbox: its resets have left.
	keepUntil time.Time
}

// Handle implements sandbox.Sandbox.
func (g *generation) Handle() sandbox.Handle {
	return sandbox.Handle{Root: g.conf.RootDir, ID: g.id}
}

// Pids implements sandbox.Sandbox.
func (g *generation) Pids() []int {
	var pids []int
	for _, pid := range []int{g.sb.Pid.Load(), g.c.GoferPid.Load()} {
		if pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids
}

// listen turns the agent's messages into events until the sandbox is gone,
// then closes the events.
func (g *generation) listen() {
	err := g.ch.serve(func(m wire.Message) {
		switch {
		case m.Failure != nil:
			g.report(sandbox.Event{Container: g.container, Failure: m.Failure})
		case m.Checkpoint != nil:
			g.report(sandbox.Event{Container: g.container, Checkpoint: m.Checkpoint})
		case m.Resolved != nil:
			g.report(sandbox.Event{Container: g.container, Resolved: true})
		case m.Query != nil:
			g.names.Query(*m.Query)
		}
	})
	if err != nil {
		// Its program must not run on unwatched.
		g.kill()
	}
	if g.serves.Load() {
		g.dead.Keep(g.queues.Move())
	}
	close(g.gone)
	g.stopServing()
	<-g.exited
	g.reporting.Lock()
	defer g.reporting.Unlock()
	close(g.events)
	g.events = nil
}

func (g *generation) report(e sandbox.Event) {
	e.Generation = g.number
	g.reporting.Lock()
	defer g.reporting.Unlock()
	if g.events != nil {
		g.events <- e
	}
}

// kill ends the sandbox process, which takes everything in it down.
func (g *generation) kill() {
	if pid := g.sb.Pid.Load(); pid > 0 {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
}

// load runs f, which fills the sandbox. It ends when the sandbox is killed.
// Errors: sandbox.ErrGone when that came first.
func (g *generation) load(f func() error) error {
	g.loading.Lock()
	defer g.loading.Unlock()
	if g.c.Sandbox == nil {
		return sandbox.ErrGone
	}
	return f()
}

// Checkpoint implements sandbox.Sandbox.
func (g *generation) Checkpoint(ctx context.Context, seq checkpoint.Seq, st checkpoint.Staging) (sandbox.CheckpointResult, error) {
	files := []*os.File{
		st.File(checkpoint.FileKernel), st.File(checkpoint.FilePagesMeta),
		st.File(checkpoint.FilePageIndex), st.File(checkpoint.FileStaged),
	}
	take := &wire.TakeCheckpoint{Seq: uint64(seq), Parent: uint64(st.Parent())}
	if full := st.File(checkpoint.FileFull); full != nil {
		files = append(files, full)
		take.Full = true
	}
	// The program would stand still while gVisor waits for them.
	if err := g.Loaded(ctx); err != nil {
		return sandbox.CheckpointResult{}, err
	}
	r, err := g.ask(ctx, saveTimeout, wire.Request{Verb: wire.VerbCheckpoint, Take: take}, files...)
	if err != nil {
		return sandbox.CheckpointResult{}, err
	}
	if r.Checkpoint == nil {
		return sandbox.CheckpointResult{}, fmt.Errorf("checkpoint: %w: reply without its cost", wire.ErrMalformed)
	}
	c := r.Checkpoint
	return sandbox.CheckpointResult{
		Cost:     checkpoint.Cost{Stop: max(c.Stop, 0), Kernel: max(c.Kernel, 0), Copy: max(c.Copy, 0)},
		Tracking: c.Tracking,
	}, nil
}

// CheckpointDone implements sandbox.Sandbox.
func (g *generation) CheckpointDone(ctx context.Context, req wire.CheckpointRequest, cause error) error {
	_, err := g.ask(ctx, askTimeout, wire.Request{
		Verb: wire.VerbCheckpointDone,
		Done: &wire.CheckpointDone{TID: req.TID, Failed: cause != nil},
	})
	return err
}

// Refuse implements sandbox.Sandbox.
func (g *generation) Refuse(ctx context.Context) error {
	_, err := g.ask(ctx, askTimeout, wire.Request{Verb: wire.VerbRefuse})
	g.dead.Drop()
	return err
}

// Fail implements sandbox.Sandbox.
func (g *generation) Fail(ctx context.Context, f failure.State) error {
	_, err := g.ask(ctx, askTimeout, wire.Request{Verb: wire.VerbFail, Failure: &f})
	return err
}

// Pause implements sandbox.Sandbox.
func (g *generation) Pause(ctx context.Context) error {
	return g.bounded(ctx, askTimeout, "pause sandbox", func() error { return g.sb.Pause(g.id) })
}

// Resume implements sandbox.Sandbox.
func (g *generation) Resume(ctx context.Context) error {
	return g.bounded(ctx, askTimeout, "resume sandbox", func() error { return g.sb.Resume(g.id) })
}

// SaveImage implements sandbox.Sandbox. A program that isn't to run on is
// frozen at the image for Destroy to end: gVisor's own way exits right after
// the image is complete, and now and then before it has said so.
func (g *generation) SaveImage(ctx context.Context, dir string, leaveRunning bool) error {
	if leaveRunning {
		return g.writeImage(ctx, dir)
	}
	if err := g.Pause(ctx); err != nil {
		return err
	}
	err := g.writeImage(ctx, dir)
	if err != nil {
		err = errors.Join(err, g.Resume(context.WithoutCancel(ctx)))
	}
	return err
}

func (g *generation) writeImage(ctx context.Context, dir string) error {
	return g.bounded(ctx, saveTimeout, "write image", func() error {
		return g.sb.Checkpoint(g.conf, g.id, dir, gvsandbox.CheckpointOpts{
			Compression: "none",
			Resume:      true,
		})
	})
}

// await reports the end of the program, or of a sandbox that never got one.
func (g *generation) await() {
	defer close(g.exited)
	select {
	case <-g.started:
	case <-g.gone:
	}
	g.awaitLoad()
	exit := g.wait()
	close(g.reaped)
	ev := sandbox.Event{Exited: &exit}
	if !exit.Crashed {
		ev.Container = g.container
	}
	g.report(ev)
}

// awaitLoad returns when no start or restore is under way.
func (g *generation) awaitLoad() {
	g.loading.Lock()
	defer g.loading.Unlock()
}

// wait returns how the program ended, or how the sandbox died.
func (g *generation) wait() sandbox.Exit {
	conn, err := connect(g.sb.ControlSocketPath)
	if err == nil {
		defer conn.Close()
		var ws unix.WaitStatus
		if err = conn.Call(boot.ContMgrWait, &g.id, &ws); err == nil {
			return g.programEnded(ws)
		}
	}
	// The sandbox is gone. It ends with its program's status unless it was
	// killed.
	ws, waitErr := g.sb.Wait(g.id)
	if waitErr == nil && !ws.Signaled() {
		return g.programEnded(ws)
	}
	return sandbox.Exit{Status: exitStatus(ws), Crashed: true, Err: errors.Join(err, waitErr)}
}

// programEnded tells a program that was killed from one whose gofer died:
// gVisor kills that as well.
func (g *generation) programEnded(ws unix.WaitStatus) sandbox.Exit {
	x := sandbox.Exit{Status: exitStatus(ws)}
	if x.Status == 128+int(unix.SIGKILL) && g.goferDied() {
		x.Crashed, x.Err = true, errGoferDied
	}
	return x
}

// connect opens gVisor's control socket. Its path may be longer than a
// socket's address, since engines put long ids below long directories.
func connect(path string) (*urpc.Client, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	return client.ConnectTo(fmt.Sprintf("/proc/self/fd/%d", fd))
}

// exitStatus is a wait status as a shell shows it.
func exitStatus(ws unix.WaitStatus) int {
	if ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return ws.ExitStatus()
}

// Destroy implements sandbox.Sandbox.
func (g *generation) Destroy() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.destroyed {
		return nil
	}
	time.Sleep(time.Until(g.keepUntil))
	g.serves.Store(false)
	g.kill()
	g.ch.close()
	select {
	case <-g.reaped: // so that two don't wait for one process
	case <-time.After(askTimeout):
	}
	g.stopServing()
	g.loading.Lock()
	defer g.loading.Unlock()
	err := g.c.Destroy()
	if fenceErr := g.fence.Remove(); fenceErr != nil {
		log.Warningf("recover: %v", fenceErr)
	}
	g.queues.Close()
	g.known.Close() // nil is none
	if rmErr := removeRoot(g.root); rmErr != nil {
		err = errors.Join(err, rmErr)
	}
	if err != nil {
		return fmt.Errorf("destroy sandbox: %w", err)
	}
	g.destroyed = true
	return nil
}

// removeRoot removes a gVisor root directory, with the mount that gVisor
// leaves in it.
func removeRoot(root string) error {
	for _, name := range []string{"null-netns"} {
		path := filepath.Join(root, name)
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && err != unix.ENOENT && err != unix.EINVAL {
			return fmt.Errorf("unmount %s: %w", path, err)
		}
	}
	if err := os.RemoveAll(root); err != nil {
		return fmt.Errorf("remove the sandbox's directory: %w", err)
	}
	return nil
}
