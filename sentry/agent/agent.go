// Package agent is the part of runsc-recover that lives in the sandbox. It puts
// the other packages of sentry into gVisor's registries, serves the recovery
// system call and the supervisor's requests, stops the sandbox at a failure,
// and delivers the failure interrupt to a copy. It owns the attachments and the
// parked system calls of the program, and the agent's state in a checkpoint.
// README.md says how it gets into gVisor.
//
// It must not know paths, retention or when to recover: it reports to the
// supervisor and carries out requests.
//
// # Stopping
//
// A failing task calls TaskSet.BeginExternalStop itself, so that no task
// returns to the program, closes a file or begins an exit after that; a
// goroutine of the agent's then waits for all of them and reports. The task's
// system call is parked: it ends with ERESTARTNOINTR, and when the failure is
// refused, it runs again and returns the decision.
//
// # Locks
//
// In this order: the lock of package save, saveMu, mu, the lock of package
// detect's heartbeats; then the locks of netbuffer and of the kernel. None is
// held while a task is waited for, except saveMu by the goroutine that takes a
// checkpoint. A task may take mu and, as checkpoints wait for tasks, not saveMu.
//
// # Goroutines
//
// None of them is a task goroutine, so they run on while the kernel is saved:
//
//   - serve reads requests, and starts a goroutine for each; those touch the
//     kernel's state under the kernel's own locks, or while it is paused, and
//     those that would change the network stack hold saveMu.
//   - reportFailure waits for the tasks to stop. A checkpoint that comes
//     meanwhile finds failing set, and isn't taken.
//   - sendQueries touches no kernel.
//   - a heartbeat's timer begins a failure under saveMu.
package agent

import (
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/context"
	"gvisor.dev/gvisor/pkg/log"
	"gvisor.dev/gvisor/pkg/sentry/kernel"
	"gvisor.dev/gvisor/pkg/sentry/socket/netstack"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"runsc-recover/sentry/detect"
	"runsc-recover/sentry/failure"
	"runsc-recover/sentry/netbuffer"
	"runsc-recover/sentry/platform"
	"runsc-recover/sentry/save"
	"runsc-recover/sentry/wire"
)

// Agent is the agent of one sandbox. There is one in a process.
type Agent struct {
	gate       *platform.Gate
	saver      *save.Saver
	heartbeats *detect.Heartbeats
	// out sends messages to the supervisor; nil until the sink is set up.
	out atomic.Pointer[channel]
	// queries are datagrams for the resolver that wait to be sent to the
	// supervisor.
	queries chan wire.Datagram

	// saveMu excludes, from the pause of a checkpoint, a failure that doesn't
	// begin on a task goroutine, and packets that are injected.
	saveMu sync.Mutex

	mu sync.Mutex
	// The following are guarded by mu.

	opts Options
	// k is nil until the first task wants to run or a copy is loaded.
	k *kernel.Kernel
	// network is the buffer of k's network, nil where that isn't gVisor's own.
	// It is set before the program runs.
	network *netbuffer.Buffer
	// failing is set from the beginning of a failure until it is refused.
	failing bool
	// info is the failure that this copy was restored for; nil for none.
	info *failure.Info
	// restoredConnections are the connections of the checkpoint that this copy
	// was restored from, as tcpreset.Encode wrote them.
	restoredConnections []byte
	// attached are the processes that called RECOVER_ATTACH.
	attached map[kernel.ThreadID]attachment
	// parked are the system calls that wait for a decision.
	parked parkedCalls
}

func newAgent() *Agent {
	a := &Agent{
		saver:    save.New(),
		queries:  make(chan wire.Datagram, maxQueries),
		attached: make(map[kernel.ThreadID]attachment),
		parked:   make(parkedCalls),
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

// adoptNetworkLocked puts a buffer at the edge of the kernel's network stack,
// where there is none yet.
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
		st.SetTransportProtocolHandler(header.UDPProtocolNumber, a.query)
	}
}

// setKernel makes the agent's state a part of k's checkpoints.
func (a *Agent) setKernel(k *kernel.Kernel) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.k = k
	k.AddStateToCheckpoint(stateKey, &savedState{})
}

// netstackOf returns k's network stack, or nil where it isn't gVisor's own.
func netstackOf(k *kernel.Kernel) *stack.Stack {
	ns := k.RootNetworkNamespace()
	if ns == nil {
		return nil
	}
	if st, ok := ns.Stack().(*netstack.Stack); ok {
		return st.Stack
	}
	return nil
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

// send sends m to the supervisor. An error is logged alone: the supervisor's
// death ends this process.
func (a *Agent) send(m wire.Message) {
	ch := a.out.Load()
	if ch == nil {
		return
	}
	if err := ch.send(m); err != nil {
		log.Warningf("recover: message to the supervisor failed: %v", err)
	}
}
