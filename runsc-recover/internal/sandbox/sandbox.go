// Package sandbox is the contract between the engine and a sandbox: one gVisor
// kernel that holds a container.
//
// It must not know gVisor or why a method is called.
package sandbox

import (
	"context"
	"errors"
	"os"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/config"
	"runsc-recover/sentry/failure"
	"runsc-recover/sentry/wire"
)

// A Booter makes generations: the ordinary gVisor sandboxes that a container
// consists of, one after the other.
type Booter interface {
	// Boot starts a sandbox and its gofer, which then wait for Start or
	// Restore. The sandbox's stdio is the calling process's. It must be called
	// on a thread that lives as long as the supervisor (package osthread): the sandbox dies with that thread.
	Boot(ctx context.Context, opts BootOptions) (Sandbox, error)
}

// BootOptions says what to boot.
type BootOptions struct {
	// ID is the generation's internal id, unique on the host.
	ID string
	// Number counts the generations of the container, from 1.
	Number int
	// Root is the gVisor root directory of the generation, created by Boot and
	// removed by Destroy.
	Root string
	// Bundle is the directory that holds config.json.
	Bundle string
	// Spec is the container's; Boot makes its own copy.
	Spec   *specs.Spec
	Config config.Config
	// Events receives what the sandbox reports, in order. Boot's Generation
	// closes it when the sandbox is gone. The receiver must keep draining it.
	Events chan<- Event
	// Network is what Generation.Network of an earlier generation returned;
	// nil for the first, which takes its configuration from the namespace.
	Network Network
	// Silent keeps a copy off the network, in both directions, from Restore to
	// Release, so that it can be held while another generation runs. Boot
	// fails with ErrNotSilent where the host can't do that.
	Silent bool
	// PassFiles are descriptors given to the program by number (--preserve-fds).
	PassFiles map[int]*os.File
}

// Network is the configuration of a container's network as the sandbox layer
// saved it. It is opaque here.
type Network any

// Event is something that a generation reports.
type Event struct {
	Generation int
	// Exactly one of the following is set.
	Failure    *failure.State          // the sandbox is stopped and waits for Rollback or Refuse
	Checkpoint *wire.CheckpointRequest // the program asked for a checkpoint
	Resolved   bool                    // RECOVER_RESOLVED
	Exited     *Exit                   // the first process ended, or the sandbox died
	// Damaged says that the checkpoint that it was restored from is, which
	// came out when pages were loaded. The sandbox is being killed.
	Damaged error
}

// Exit is how a generation ended.
type Exit struct {
	// Status is the wait status's exit code: 128+n for signal n.
	Status int
	// Crashed is set when the sandbox itself died, rather than its program.
	Crashed bool
	Err     error
}

// Errors of a Generation. They are wrapped; test with errors.Is.
var (
	// ErrUnsavable: the program holds something that can't be checkpointed.
	// The text says what. The program runs on.
	ErrUnsavable = errors.New("sandbox can't be checkpointed now")
	// ErrGone: the sandbox has died or was destroyed.
	ErrGone = errors.New("sandbox is gone")
	// ErrFailing: the sandbox is stopped at a failure.
	ErrFailing = errors.New("sandbox is stopped at a failure")
	// ErrNotSilent: a held copy can't be kept off the network here.
	ErrNotSilent = errors.New("a held copy can't be kept off the network")
)

// Release is what a restored copy is told.
type Release struct {
	// Info is the failure as RECOVER_INFO and RECOVER_DATA will show it. Nil
	// when the copy is let go without a failure interrupt.
	Info *failure.Info
}

// Generation is one sandbox. Methods are safe for concurrent use; each has a
// deadline of its own beside ctx's, so that a hostile or hung sandbox can't
// hold the supervisor.
type Sandbox interface {
	Number() int
	// Start runs the program. Once, and not after Restore.
	Start(ctx context.Context) error
	// Restore loads a checkpoint. The copy is held before its first
	// instruction until Release. It returns when the copy could run: memory
	// may come after, as the program touches it. It takes ownership of img,
	// even if it returns an error, and closes it when no more is to come.
	Restore(ctx context.Context, img checkpoint.Image) error
	// Loaded returns once all memory of a restored copy is there. Errors:
	// ErrGone, ctx's.
	Loaded(ctx context.Context) error
	// Release queues the failure interrupt and lets the copy run. It returns
	// when the copy runs.
	Release(ctx context.Context, r Release) error

	// TakeOver resets what of the stopped generation's connections can't go on
	// in this copy, which is held: towards their peers, and for the copy. It
	// comes before Release. After it the stopped one is only good for Destroy
	// or Refuse.
	TakeOver(ctx context.Context, stopped Sandbox) error

	// Checkpoint stops the program, writes kernel and memory into st's files
	// and lets it run on, whatever happens. The program's pause is in the
	// result. It doesn't publish; seq is what st will be published as. Errors:
	// ErrUnsavable, ErrGone, ErrFailing.
	Checkpoint(ctx context.Context, seq checkpoint.Seq, st checkpoint.Staging) (CheckpointResult, error)
	// CheckpointDone answers a program's CheckpointRequest once the checkpoint
	// was published; a non-nil err fails the program's call with EAGAIN.
	CheckpointDone(ctx context.Context, req wire.CheckpointRequest, err error) error

	// Refuse answers a Failure: the program goes on to fail as it would have
	// without us.
	Refuse(ctx context.Context) error

	// Hangup resets every connection of a sandbox that is stopped at a failure,
	// towards their peers. After it the sandbox is only good for Destroy.
	Hangup(ctx context.Context) error
	// Fail makes the sandbox stop as at a failure of the given kind, and
	// report it as an Event.
	Fail(ctx context.Context, f failure.State) error

	// SetMemory sets how much memory, in bytes, the program finds that it has.
	SetMemory(ctx context.Context, size uint64) error

	Signal(ctx context.Context, sig int, all bool) error
	// SignalForeground signals the foreground process group of the terminal.
	SignalForeground(ctx context.Context, sig int) error
	// KillProcess kills one process, by its pid in the container.
	KillProcess(ctx context.Context, pid int) error
	Pause(ctx context.Context) error
	Resume(ctx context.Context) error
	Processes(ctx context.Context) ([]Process, error)
	Network(ctx context.Context) (Network, error)
	// SaveImage writes an ordinary gVisor image into dir (runc's checkpoint).
	// Unless leaveRunning, the program doesn't run on after it.
	SaveImage(ctx context.Context, dir string, leaveRunning bool) error

	// Pids are the host processes of the sandbox: sentry and gofer.
	Pids() []int
	// Handle says where `exec` finds the sandbox.
	Handle() Handle
	// Destroy kills the sandbox and removes all that it left. It may be called
	// more than once.
	Destroy() error
}

// Handle says where gVisor keeps a generation.
type Handle struct {
	Root string `json:"root"`
	ID   string `json:"id"`
}

// CheckpointResult is what a checkpoint cost and when it stood.
type CheckpointResult struct {
	TakenAt time.Time
	Cost    checkpoint.Cost // without Publish
	// Tracking is how the sandbox knew what had changed.
	Tracking string
}

// Process is a process inside the sandbox, in the container's PID namespace.
type Process struct {
	PID   int    `json:"pid"`
	PPID  int    `json:"ppid"`
	UID   int    `json:"uid"`
	TTY   string `json:"tty"`
	STime string `json:"stime"`
	Time  string `json:"time"`
	Cmd   string `json:"cmd"`
}
