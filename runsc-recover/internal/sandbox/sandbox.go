// Package sandbox is the contract between the engine and a sandbox: one gVisor
// kernel that holds one or more containers, the n-th of which in a lineage is
// generation n. The contract is parted by the engine's concerns: the life of a
// sandbox, checkpointing, operating on its containers, and the handover of
// connections and network to a copy.
//
// It must not know gVisor or why a method is called. It has no state, takes no
// locks and starts no goroutines.
package sandbox

import (
	"context"
	"errors"

	"runsc-recover/checkpoint"
	"runsc-recover/sentry/failure"
	"runsc-recover/sentry/wire"
)

// Errors of a Sandbox and its containers. They are wrapped; test with errors.Is.
var (
	// ErrUnsavable: a program holds something that can't be checkpointed, which
	// the text names. The program runs on.
	ErrUnsavable = errors.New("sandbox can't be checkpointed now")
	// ErrGone: the sandbox has died or was destroyed.
	ErrGone = errors.New("sandbox is gone")
	// ErrFailing: the sandbox is stopped at a failure.
	ErrFailing = errors.New("sandbox is stopped at a failure")
)

// Sandbox is one gVisor kernel. Methods are safe for concurrent use. Each has a
// deadline of its own beside ctx's, so that a hostile or hung sandbox can't hold
// the supervisor. Every method may return ErrGone.
type Sandbox interface {
	Life
	Checkpointing
	Operating
	Handover
}

// Life is the life of a sandbox, from Boot to Destroy.
type Life interface {
	// Restore loads a checkpoint. The copy is held before its first instruction
	// until Release. Restore returns when the copy could run: memory may come
	// after, as the program touches it. It takes ownership of img, even if it
	// returns an error, and closes img when the sandbox needs no more of it.
	//
	// Preconditions: no container of the sandbox was started.
	Restore(ctx context.Context, img checkpoint.Image) error
	// Loaded returns once all memory of a restored copy is there. Errors:
	// ErrGone, ctx's.
	Loaded(ctx context.Context) error
	// Release queues the failure interrupt, lets the copy on the network and
	// lets it run. It returns when the copy runs.
	Release(ctx context.Context, r Release) error
	// SetMemory sets how much memory, in bytes, programs find that they have.
	SetMemory(ctx context.Context, size uint64) error
	// Pids are the host processes of the sandbox: sentry and gofer.
	Pids() []int
	// Handle names the sandbox, and no container, for other processes.
	Handle() Handle
	// Destroy kills the sandbox and removes everything that it left on the host.
	// It may be called more than once.
	Destroy() error
}

// Checkpointing saves a sandbox.
type Checkpointing interface {
	// Checkpoint stops the sandbox, writes kernel and memory into st's files and
	// lets the sandbox run on, whether it succeeds or not. It doesn't publish st;
	// seq is the number that st will be published under. Errors: ErrUnsavable,
	// ErrGone, ErrFailing, checkpoint.ErrFull.
	Checkpoint(ctx context.Context, seq checkpoint.Seq, st checkpoint.Staging) (CheckpointResult, error)
	// CheckpointDone answers a program's CheckpointRequest once the checkpoint
	// was published; a non-nil err fails the program's call with EAGAIN.
	CheckpointDone(ctx context.Context, req wire.CheckpointRequest, err error) error
	// SaveImage writes an ordinary gVisor image into dir (runc's checkpoint).
	// Unless leaveRunning, the sandbox is frozen after it. Errors: gVisor's own.
	SaveImage(ctx context.Context, dir string, leaveRunning bool) error
}

// Operating is for operators, and for the engine's answers to a failure: the
// sandbox runs, or is stopped at a failure.
type Operating interface {
	// Container returns the container of that name, nil when the sandbox was
	// booted without one.
	Container(name string) Container
	// Pause freezes all containers.
	Pause(ctx context.Context) error
	// Resume ends a Pause.
	Resume(ctx context.Context) error
	// Fail makes the sandbox stop as at failure f, and report f as an Event.
	// Errors: ErrFailing, ErrGone.
	Fail(ctx context.Context, f failure.State) error
	// Refuse answers a Failure: the program goes on to fail as it would have
	// without recovery.
	Refuse(ctx context.Context) error
}

// Handover passes network and connections from one generation to the next.
type Handover interface {
	// Network returns the sandbox's network configuration for the Boot of a
	// copy.
	Network(ctx context.Context) (Network, error)
	// TakeOver resets the connections of the stopped generation that can't go on
	// in this copy: towards their peers, and for the copy. After it the stopped
	// generation is only good for Destroy or Refuse.
	//
	// Preconditions: this copy is restored and held; stopped is stopped at a
	// failure and comes from the same Booter.
	TakeOver(ctx context.Context, stopped Sandbox) error
	// Hangup resets every connection of a sandbox that is stopped at a failure,
	// towards their peers. After it the sandbox is only good for Destroy.
	Hangup(ctx context.Context) error
}

// Container is one container of a sandbox. It stays valid as long as the
// sandbox, whose errors its methods return.
type Container interface {
	// Start runs the container's first process.
	//
	// Preconditions: called once; the sandbox wasn't restored.
	Start(ctx context.Context) error
	// Signal signals the first process, or every process when all is set.
	Signal(ctx context.Context, sig int, all bool) error
	// SignalForeground signals the foreground process group of the terminal; the
	// first process where there is no terminal.
	SignalForeground(ctx context.Context, sig int) error
	// Processes lists the container's processes.
	Processes(ctx context.Context) ([]Process, error)
	// KillProcess kills one process, by its pid in the container.
	KillProcess(ctx context.Context, pid int) error
	// Handle names the container for other processes.
	Handle() Handle
}

// Release is the news that a restored copy is released with.
type Release struct {
	// Info is the failure as RECOVER_INFO and RECOVER_DATA will show it. Nil
	// releases the copy without a failure interrupt.
	Info *failure.Info
}

// Handle says where gVisor keeps a sandbox, and names a container in it.
type Handle struct {
	Root string `json:"root"` // gVisor's root directory
	ID   string `json:"id"`   // the sandbox's
	// Container is the container's name, empty in the handle of a sandbox.
	Container string `json:"container,omitempty"`
}

// CheckpointResult is the price of a checkpoint.
type CheckpointResult struct {
	Cost checkpoint.Cost // without Publish
	// Tracking names the sandbox's way of knowing which pages had changed.
	Tracking string
}

// Process is a process inside a container, in the container's PID namespace.
type Process struct {
	PID   int    `json:"pid"`
	PPID  int    `json:"ppid"`
	UID   int    `json:"uid"`
	TTY   string `json:"tty"`
	STime string `json:"stime"`
	Time  string `json:"time"`
	Cmd   string `json:"cmd"`
}
