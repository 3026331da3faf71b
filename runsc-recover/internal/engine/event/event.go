// Package event is the vocabulary of facts that the engine's loop is told: by
// commands, sandboxes and timers, and by actions that have ended.
//
// It must not know the actions or decisions that an event leads to. Everything in
// an event is plain data and survives JSON. The package has no state.
package event

import (
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/config"
	"runsc-recover/checkpoint/schedule"
	"runsc-recover/runsc-recover/internal/engine/fault"
	"runsc-recover/sentry/failure"
)

// Times in events and actions are by the engine's clock, which goes on evenly
// whatever becomes of the host's wall clock, but for those in manifests and error
// states.

// Event is a fact that the loop is told. The concrete types are those of this
// file, passed by value. Request numbers a command's request; Generation says
// which sandbox is meant; Err is nil when an action worked.
type Event interface{ event() }

// Timer names a timer. Setting one takes the place of the same timer of the same
// generation that was set before.
type Timer string

// The timers.
const (
	TimerProbation  Timer = "probation"  // the recovery machine's
	TimerCheckpoint Timer = "checkpoint" // the schedule's
	TimerStandby    Timer = "standby"    // the standby machine's
	TimerSettle     Timer = "settle"     // a copy has had the processors for itself
	TimerKill       Timer = "kill"       // a sandbox was sent KILL; by generation
	TimerRetry      Timer = "retry"      // requests that a failing sandbox turned away
)

// Opened is the first event: the container's store was read.
type Opened struct {
	Request uint64        `json:"request"`
	Config  config.Config `json:"config"`
	// HostNetwork is set when sandboxes use the namespace's own stack, in which
	// one at a time can listen on a port.
	HostNetwork bool `json:"host_network,omitempty"`
	// Limited is set where the container's memory use can be read, and CountsOOM
	// where the kernel's kills for want of memory can.
	Limited   bool `json:"limited,omitempty"`
	CountsOOM bool `json:"counts_oom,omitempty"`
	// Kept are the checkpoints that the store holds, by ascending number, and Bad
	// those whose manifests can't be read.
	Kept []checkpoint.Manifest `json:"kept,omitempty"`
	Bad  []BadCheckpoint       `json:"bad,omitempty"`
	// Problem says why the store can't be read; empty if it can.
	Problem string `json:"problem,omitempty"`
	// Resume makes the container go on from the checkpoint Head; Episodes counts
	// the recorded episodes.
	Resume   bool           `json:"resume,omitempty"`
	Head     checkpoint.Seq `json:"head,omitempty"`
	Episodes int            `json:"episodes,omitempty"`
}

// BadCheckpoint is a checkpoint whose manifest can't be read.
type BadCheckpoint struct {
	Seq  checkpoint.Seq `json:"seq"`
	Text string         `json:"text"`
}

// Events that commands cause.
type (
	// StartAsked: the program is to run.
	StartAsked struct {
		Request uint64 `json:"request"`
	}
	// SignalAsked: an operator's signal.
	SignalAsked struct {
		Request uint64 `json:"request"`
		Signal  int    `json:"signal"`
		All     bool   `json:"all,omitempty"`
	}
	// ForegroundAsked: a signal from the terminal. A copy doesn't get it again:
	// the processes in the foreground there may be others.
	ForegroundAsked struct {
		Request uint64 `json:"request"`
		Signal  int    `json:"signal"`
	}
	// PauseAsked: the program is to be paused, or to run on.
	PauseAsked struct {
		Request uint64 `json:"request"`
		Paused  bool   `json:"paused"`
	}
	// FailAsked: an operator's failure.
	FailAsked struct {
		Request uint64        `json:"request"`
		Failure failure.State `json:"failure"`
	}
	// CheckpointAsked: an operator's checkpoint.
	CheckpointAsked struct {
		Request uint64 `json:"request"`
	}
	// SandboxAsked: a command needs the running sandbox. After is the Version of
	// an earlier reply whose sandbox turned out to be failing, or 0.
	SandboxAsked struct {
		Request uint64 `json:"request"`
		After   uint64 `json:"after,omitempty"`
	}
	// RequestDropped: a command has given up. Signals and pauses that were asked
	// for take effect all the same.
	RequestDropped struct {
		Request uint64 `json:"request"`
	}
	// Looked: a command waits until all that has happened is saved.
	Looked struct {
		Request uint64 `json:"request"`
	}
	// MemoryLimitChanged: the container's memory limit is another.
	MemoryLimitChanged struct {
		Request uint64 `json:"request"`
	}
	// CheckpointForgotten: a command has removed a checkpoint.
	CheckpointForgotten struct {
		Seq checkpoint.Seq `json:"seq"`
	}
	// ShutdownAsked: the container is to end.
	ShutdownAsked struct {
		Status int `json:"status"`
	}
)

// Events of sandboxes, and of timers.
type (
	// Failed: a program failed. Its sandbox is stopped, which took that long.
	Failed struct {
		Generation int           `json:"generation"`
		Failure    failure.State `json:"failure"`
		StopTook   time.Duration `json:"stop_took_ns"`
	}
	// CheckpointRequested: a thread of the program waits for a checkpoint.
	CheckpointRequested struct {
		Generation int   `json:"generation"`
		TID        int32 `json:"tid"`
	}
	// Resolved: the program says that it is past the failure.
	Resolved struct {
		Generation int `json:"generation"`
	}
	// Exited: the program ended, or the sandbox died (Crashed).
	Exited struct {
		Generation int          `json:"generation"`
		Status     int          `json:"status"`
		Crashed    bool         `json:"crashed,omitempty"`
		Err        *fault.Fault `json:"err,omitempty"`
	}
	// DamageFound: the checkpoint that the sandbox was restored from is damaged.
	DamageFound struct {
		Generation int          `json:"generation"`
		Err        *fault.Fault `json:"err"`
	}
	// Closed: the sandbox is gone and has said its last.
	Closed struct {
		Generation int `json:"generation"`
	}
	// TimerFired: a timer went off.
	TimerFired struct {
		Timer      Timer `json:"timer"`
		Generation int   `json:"generation,omitempty"`
	}
)

// Events that answer actions, each named after its action.
type (
	// Booted answers Boot.
	Booted struct {
		Generation int          `json:"generation"`
		Err        *fault.Fault `json:"err,omitempty"`
	}
	// StartPrepared answers PrepareStart.
	StartPrepared struct {
		Err *fault.Fault `json:"err,omitempty"`
	}
	// ProgramStarted answers StartProgram. At is when the start began.
	ProgramStarted struct {
		Generation int          `json:"generation"`
		At         time.Time    `json:"at"`
		Err        *fault.Fault `json:"err,omitempty"`
	}
	// NetworkRead answers ReadNetwork.
	NetworkRead struct {
		Generation int          `json:"generation"`
		Err        *fault.Fault `json:"err,omitempty"`
	}
	// Restored answers Restore. Opened: the checkpoint could be opened.
	Restored struct {
		Generation int            `json:"generation"`
		Seq        checkpoint.Seq `json:"seq"`
		RunTime    time.Duration  `json:"run_time_ns"`
		TakenAt    time.Time      `json:"taken_at,omitzero"`
		Opened     bool           `json:"opened,omitempty"`
		Err        *fault.Fault   `json:"err,omitempty"`
	}
	// PagesLoaded answers AwaitPages, with the processors' time that preparing
	// the sandbox took.
	PagesLoaded struct {
		Generation int           `json:"generation"`
		Work       time.Duration `json:"work_ns"`
	}
	// Released answers Release.
	Released struct {
		Generation int          `json:"generation"`
		Err        *fault.Fault `json:"err,omitempty"`
	}
	// Restarted answers StartAfresh.
	Restarted struct {
		Generation int          `json:"generation"`
		Err        *fault.Fault `json:"err,omitempty"`
	}
	// Destroyed answers Destroy.
	Destroyed struct {
		Generation int `json:"generation"`
	}
	// Refused answers Refuse.
	Refused struct {
		Generation int          `json:"generation"`
		Err        *fault.Fault `json:"err,omitempty"`
	}
	// FailureCaused answers CauseFailure.
	FailureCaused struct {
		Generation int          `json:"generation"`
		Err        *fault.Fault `json:"err,omitempty"`
	}
	// SignalSent answers Signal and SignalForeground.
	SignalSent struct {
		Request    uint64       `json:"request"`
		Generation int          `json:"generation"`
		Err        *fault.Fault `json:"err,omitempty"`
	}
	// PauseChanged answers Pause.
	PauseChanged struct {
		Generation int          `json:"generation"`
		Paused     bool         `json:"paused"`
		Err        *fault.Fault `json:"err,omitempty"`
	}
	// MemorySet answers SetMemory.
	MemorySet struct {
		Request uint64 `json:"request"`
	}
	// CheckpointTaken answers TakeCheckpoint. StoppedAt is when the program had
	// stopped.
	CheckpointTaken struct {
		Manifest  checkpoint.Manifest `json:"manifest"`
		StoppedAt time.Time           `json:"stopped_at,omitzero"`
		Err       *fault.Fault        `json:"err,omitempty"`
	}
	// CheckpointsRemoved answers RemoveCheckpoints. Failed are still there.
	CheckpointsRemoved struct {
		For    schedule.Purpose `json:"for"`
		Seqs   []checkpoint.Seq `json:"seqs"`
		Failed []checkpoint.Seq `json:"failed,omitempty"`
	}
	// StoreCompacted answers CompactStore.
	StoreCompacted struct {
		For schedule.Purpose `json:"for"`
		Err *fault.Fault     `json:"err,omitempty"`
	}
	// UsageRead answers ReadUsage.
	UsageRead struct {
		Usage checkpoint.Usage `json:"usage"`
		Err   *fault.Fault     `json:"err,omitempty"`
	}
	// MemoryRead answers ReadMemory.
	MemoryRead struct {
		Use schedule.Memory `json:"use"`
		Err *fault.Fault    `json:"err,omitempty"`
	}
	// MemorySeen answers WatchMemory.
	MemorySeen struct {
		Use schedule.Memory `json:"use"`
		At  time.Time       `json:"at"`
		Err *fault.Fault    `json:"err,omitempty"`
	}
	// StandbyWeighed answers WeighStandby.
	StandbyWeighed struct {
		Generation int             `json:"generation"`
		Use        schedule.Memory `json:"use"`
		Measured   uint64          `json:"measured"`
		Err        *fault.Fault    `json:"err,omitempty"`
	}
	// OOMKillsRead answers ReadOOMKills: the kernel's count since the container
	// began.
	OOMKillsRead struct {
		Generation int    `json:"generation"`
		Kills      uint64 `json:"kills"`
	}
)

func (Opened) event()              {}
func (StartAsked) event()          {}
func (SignalAsked) event()         {}
func (ForegroundAsked) event()     {}
func (PauseAsked) event()          {}
func (FailAsked) event()           {}
func (CheckpointAsked) event()     {}
func (SandboxAsked) event()        {}
func (RequestDropped) event()      {}
func (Looked) event()              {}
func (MemoryLimitChanged) event()  {}
func (CheckpointForgotten) event() {}
func (ShutdownAsked) event()       {}
func (Failed) event()              {}
func (CheckpointRequested) event() {}
func (Resolved) event()            {}
func (Exited) event()              {}
func (DamageFound) event()         {}
func (Closed) event()              {}
func (TimerFired) event()          {}
func (Booted) event()              {}
func (StartPrepared) event()       {}
func (ProgramStarted) event()      {}
func (NetworkRead) event()         {}
func (Restored) event()            {}
func (PagesLoaded) event()         {}
func (Released) event()            {}
func (Restarted) event()           {}
func (Destroyed) event()           {}
func (Refused) event()             {}
func (FailureCaused) event()       {}
func (SignalSent) event()          {}
func (PauseChanged) event()        {}
func (MemorySet) event()           {}
func (CheckpointTaken) event()     {}
func (CheckpointsRemoved) event()  {}
func (StoreCompacted) event()      {}
func (UsageRead) event()           {}
func (MemoryRead) event()          {}
func (MemorySeen) event()          {}
func (StandbyWeighed) event()      {}
func (OOMKillsRead) event()        {}
