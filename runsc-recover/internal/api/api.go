// Package api is the conversation between the short-lived commands and a
// container's supervisor: HTTP and JSON on a unix socket, mode 0600, in the
// container's state directory. Operations are a command's requests, Client sends
// them, a supervisor implements Service, and NewHandler serves it. A peer is
// hostile until proven otherwise: messages are bounded and decoded strictly.
//
// It must not know a command's output or how the supervisor does its work.
//
// Locks: none. Goroutines: those of net/http.
package api

import (
	"cmp"
	"context"
	"slices"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/checkpoint"
)

// Operations are the requests of commands; a Client has the same methods.
// Methods wait, bounded by ctx, while a recovery is under way. Errors carry a
// stable code: see Error.
type Operations interface {
	Start(ctx context.Context) error
	Signal(ctx context.Context, r SignalRequest) error
	Pause(ctx context.Context) error
	Resume(ctx context.Context) error
	Processes(ctx context.Context) ([]Process, error)
	Stats(ctx context.Context) (Stats, error)
	Update(ctx context.Context, r specs.LinuxResources) error
	// Generation says where exec finds the running sandbox.
	Generation(ctx context.Context) (Generation, error)
	// Checkpoint takes a checkpoint into the container's store.
	Checkpoint(ctx context.Context) (checkpoint.Manifest, error)
	// SaveImage writes an ordinary image (runc's checkpoint).
	SaveImage(ctx context.Context, r SaveImageRequest) error
	Checkpoints(ctx context.Context) ([]CheckpointEntry, error)
	VerifyCheckpoint(ctx context.Context, seq checkpoint.Seq) error
	RemoveCheckpoint(ctx context.Context, seq checkpoint.Seq) error
	// Fail is an operator's failure.
	Fail(ctx context.Context, r FailRequest) error
	// Wait returns when the container is over.
	Wait(ctx context.Context) (ExitStatus, error)
	// Shutdown ends the container and everything of it (delete --force).
	Shutdown(ctx context.Context) error
}

// Service is a supervisor's side of the conversation.
type Service interface {
	Operations
	// KillExec kills a process that exec started, when its guard is lost (see
	// Client.Guard). A process whose generation is gone is gone with it, which
	// is no error.
	KillExec(ctx context.Context, p ExecProcess) error
}

// SignalRequest asks for a signal to the first process, or to all.
type SignalRequest struct {
	Signal int  `json:"signal"`
	All    bool `json:"all"`
}

// FailRequest describes an operator's failure.
type FailRequest struct {
	Code    int32  `json:"code"`
	Message string `json:"message"`
}

// SaveImageRequest asks for a gVisor image in a directory that exists.
type SaveImageRequest struct {
	ImagePath    string `json:"image_path"`
	LeaveRunning bool   `json:"leave_running"`
}

// Generation names the running sandbox.
type Generation struct {
	Number int    `json:"number"`
	Root   string `json:"root"`
	ID     string `json:"id"`
}

// ExecProcess names a process that exec started.
type ExecProcess struct {
	Generation int `json:"generation"`
	PID        int `json:"pid"` // in the container's PID namespace
}

// Process is a process in the container's PID namespace.
type Process struct {
	PID   int    `json:"pid"`
	PPID  int    `json:"ppid"`
	UID   int    `json:"uid"`
	TTY   string `json:"tty"`
	STime string `json:"stime"`
	Time  string `json:"time"`
	Cmd   string `json:"cmd"`
}

// ExitStatus is how the container ended.
type ExitStatus struct {
	Status int       `json:"status"` // 128+n for signal n
	At     time.Time `json:"at"`
}

// CheckpointEntry is a checkpoint as listed.
type CheckpointEntry struct {
	checkpoint.Manifest
	// Reasons say why the checkpoint is kept.
	Reasons []string `json:"reasons,omitempty"`
	// Error is set when the checkpoint can't be used.
	Error string `json:"error,omitempty"`
}

// EntriesOf lists the checkpoints of a store by number: those that can be used,
// with the reasons for keeping them where there are any, and those that can't.
func EntriesOf(good []checkpoint.Manifest, bad map[checkpoint.Seq]error, reasons map[checkpoint.Seq][]string) []CheckpointEntry {
	var out []CheckpointEntry
	for _, m := range good {
		out = append(out, CheckpointEntry{Manifest: m, Reasons: reasons[m.Seq]})
	}
	for seq, err := range bad {
		out = append(out, CheckpointEntry{Manifest: checkpoint.Manifest{Seq: seq}, Error: err.Error()})
	}
	slices.SortFunc(out, func(a, b CheckpointEntry) int { return cmp.Compare(a.Seq, b.Seq) })
	return out
}

// Episode is the record of one failure and all attempts to get past it.
type Episode struct {
	Episode   int       `json:"episode"`
	Kind      string    `json:"kind"`
	Code      int32     `json:"code"`
	Signal    int32     `json:"signal"`
	Message   string    `json:"message"`
	Key       string    `json:"key"` // 16 hexadecimal digits
	PID       int32     `json:"pid"`
	TID       int32     `json:"tid"`
	Program   string    `json:"program"`
	FaultIP   string    `json:"fault_ip"`   // hexadecimal with 0x
	FaultAddr string    `json:"fault_addr"` // hexadecimal with 0x
	FailedAt  time.Time `json:"failed_at"`
	EndedAt   time.Time `json:"ended_at,omitzero"`
	Outcome   string    `json:"outcome"` // open, recovered, exhausted
	Attempts  []Attempt `json:"attempts"`
	// Reasons say why the episode ended in its outcome.
	Reasons []string `json:"reasons,omitempty"`
}

// Attempt is the record of one copy. Times are milliseconds of the host's
// monotonic clock.
type Attempt struct {
	Attempt       int            `json:"attempt"`
	Level         int            `json:"level"`
	CheckpointSeq checkpoint.Seq `json:"checkpoint_seq"`
	Standby       string         `json:"standby"` // the copy's origin: hot, warm or cold; empty when there is no copy
	Outcome       string         `json:"outcome"` // open, recovered, coinciding, different; failed when the copy could not be made
	Reasons       []string       `json:"reasons"`
	FailedAt      time.Time      `json:"failed_at"`
	StopMS        float64        `json:"stop_ms"`      // failure to every task stopped and reported
	RestoreMS     float64        `json:"restore_ms"`   // report to copy loaded and held
	InterruptMS   float64        `json:"interrupt_ms"` // held to released with the interrupt pending
}

// Stats is the data of runc's `events --stats`.
type Stats struct {
	CPUUsageNS    uint64 `json:"cpu_usage_ns"`
	MemoryUsage   uint64 `json:"memory_usage"`
	MemoryLimit   uint64 `json:"memory_limit"`
	PidsCurrent   uint64 `json:"pids_current"`
	OOMKills      uint64 `json:"oom_kills"`
	CPUUserNS     uint64 `json:"cpu_user_ns"`
	CPUKernelNS   uint64 `json:"cpu_kernel_ns"`
	PidsLimit     uint64 `json:"pids_limit"`
	MemoryMax     uint64 `json:"memory_max"`
	MemoryFailcnt uint64 `json:"memory_failcnt"`
}
