// Package agent is the part of runsc-recover that lives in the sandbox: it
// serves the recovery system call, notices failures and stops everything at
// them, takes checkpoints, and delivers the failure interrupt to a copy.
//
// It must not know paths, retention or when to recover: it reports to the
// supervisor and does what that says.
//
// # How it gets in
//
// Register adds the system call to gVisor's tables, a platform (package platform)
// that holds the program, a seccheck sink through which the supervisor's
// socket arrives before the seccomp filters are installed, and an event
// emitter that sees fatal signals. It is called first thing in the processes
// that create and that are a sandbox.
//
// # Stopping
//
// A failing task calls TaskSet.BeginExternalStop itself, so that no task
// returns to the program, closes a file or begins an exit after that; the
// agent's goroutine then waits for all of them and reports. The task's system
// call is parked: it ends with ERESTARTNOINTR, and when the failure is
// refused, it runs again and returns the decision.
//
// # Locks
//
//	captureMu, saveMu, then mu. None is held while a task is waited for, except
//	saveMu by the one goroutine that saves. TaskSet's and Kernel's locks
//	come after mu.
//
// The agent's goroutines aren't task goroutines: they run on while the kernel
// is saved, and touch its state only under its own locks or while it is
// paused.
package agent

import (
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/context"
	"gvisor.dev/gvisor/pkg/log"
	"gvisor.dev/gvisor/pkg/sentry/kernel"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"runsc-recover/sentry/detect"
	"runsc-recover/sentry/failure"
	"runsc-recover/sentry/netbuffer"
	"runsc-recover/sentry/platform"
	"runsc-recover/sentry/save"
	"runsc-recover/sentry/wire"
)

// Options is what the supervisor tells the agent at boot. It travels in the
// sink's configuration.
type Options struct {
	// FD is the supervisor's descriptor of the agent's end of the channel. It
	// means something only in the process that creates the sandbox.
	FD int `json:"fd"`
	// Enabled is false where nothing is ever recovered from.
	Enabled bool `json:"enabled"`
	// Report, Signal and Exit say which failures are worth stopping for.
	Report bool `json:"report"`
	Signal bool `json:"signal"`
	Exit   bool `json:"exit"`
	// Interrupt is the container's default failure interrupt.
	Interrupt int `json:"interrupt"`
	// Network is gVisor's network mode, which a checkpoint's metadata names.
	Network string `json:"network"`
	// Container is the name of the sandbox's container.
	Container string `json:"container"`
	// Resolver has the supervisor answer what the program asks of 127.0.0.11,
	// where docker has a resolver on the host's stack.
	Resolver bool `json:"resolver"`
}

// Agent is the agent of one sandbox. There is one in a process.
type Agent struct {
	gate       *platform.Gate
	saver      *save.Saver
	heartbeats *detect.Heartbeats
	// out sends messages to the supervisor; nil until the sink is set up.
	out atomic.Pointer[channel]
	// queries wait to be sent to the supervisor.
	queries chan wire.Datagram

	// saveMu is held while the kernel is saved and while something other than
	// a task begins a failure: those two exclude each other.
	saveMu sync.Mutex

	mu sync.Mutex
	// The following are guarded by mu.

	opts Options
	// k is nil until the first task wants to run or a copy is loaded.
	k *kernel.Kernel
	// network is k's network's, nil where that isn't gVisor's own. It is set
	// before the program runs, and its lock comes after mu.
	network *netbuffer.Buffer
	// failing is set from the beginning of a failure until it is refused.
	failing bool
	// info is the failure that this copy was restored for; nil for none.
	info *failure.Info
	// restoredConnections are those of the checkpoint that this copy was
	// restored from, as encoded by encodeConnections.
	restoredConnections []byte
	// attached are the processes that called RECOVER_ATTACH.
	attached map[kernel.ThreadID]attachment
	// parked are the tasks that wait for a decision in a system call, by
	// thread id in the root PID namespace.
	parked map[kernel.ThreadID]*parkedCall
}

func newAgent() *Agent {
	a := &Agent{
		saver:    save.New(),
		queries:  make(chan wire.Datagram, maxQueries),
		attached: make(map[kernel.ThreadID]attachment),
		parked:   make(map[kernel.ThreadID]*parkedCall),
	}
	a.heartbeats = detect.NewHeartbeats(a)
	a.gate = platform.NewGate(a.firstTask)
	return a
}

// firstTask learns the kernel of a fresh sandbox from its first task.
func (a *Agent) firstTask(ctx context.Context) {
	a.setKernel(kernel.KernelFromContext(ctx))
	a.mu.Lock()
	defer a.mu.Unlock()
	a.adoptNetworkLocked()
}

// adoptNetworkLocked takes charge of the kernel's network stack, if that hasn't
// been done.
//
// Preconditions: a.mu is locked, a.k is set and the gate is closed, so that no
// packet is under way.
func (a *Agent) adoptNetworkLocked() {
	st := netstackOf(a.k)
	if st == nil || a.network != nil {
		return
	}
	a.network = netbuffer.New(st)
	if a.opts.Resolver {
		// Queries match no socket, and this handler is no part of a checkpoint.
		st.SetTransportProtocolHandler(header.UDPProtocolNumber, a.hear)
	}
}

// setKernel adopts k, and makes the agent's state a part of its checkpoints.
func (a *Agent) setKernel(k *kernel.Kernel) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.k = k
	k.AddStateToCheckpoint(stateKey, &savedState{})
}

// kernel returns nil before the sandbox has one.
func (a *Agent) kernel() *kernel.Kernel {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.k
}

// networkBuffer returns the buffer of the kernel's network.
func (a *Agent) networkBuffer() *netbuffer.Buffer {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.network
}

// send sends m to the supervisor, whose death ends this process: a message
// that can't be sent matters to nobody.
func (a *Agent) send(m wire.Message) {
	ch := a.out.Load()
	if ch == nil {
		return
	}
	if err := ch.send(m); err != nil {
		log.Warningf("recover: sending to the supervisor: %v", err)
	}
}
