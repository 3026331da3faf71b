// Package action is the vocabulary of orders to the engine: on sandboxes,
// checkpoints, the host and records.
//
// It must not know how an action is decided or performed. Everything in an action
// is plain data and survives JSON. The package has no state.
package action

import (
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/config"
	"runsc-recover/checkpoint/recovery"
	"runsc-recover/checkpoint/schedule"
	"runsc-recover/runsc-recover/internal/engine/event"
	"runsc-recover/runsc-recover/internal/engine/fault"
	"runsc-recover/sentry/failure"
)

// Action is an order to the engine. The concrete types are those of this file,
// passed by value. Generation says which sandbox is meant.
type Action interface{ action() }

// Actions on sandboxes.
type (
	// Boot makes a sandbox. It is answered by Booted.
	Boot struct {
		Generation int `json:"generation"`
		// First: it takes its network from the namespace, and the program's
		// descriptors.
		First  bool `json:"first,omitempty"`
		Fenced bool `json:"fenced,omitempty"`
	}
	// PrepareStart does all that comes before the program runs.
	PrepareStart struct{}
	// StartProgram does so and runs the program.
	StartProgram struct {
		Generation int `json:"generation"`
	}
	// StartAfresh runs the program of a container that ran before.
	StartAfresh struct {
		Generation int `json:"generation"`
	}
	// AnnounceStart tells others that the program runs.
	AnnounceStart struct{}
	// ReadNetwork keeps the sandbox's network configuration for its copies.
	ReadNetwork struct {
		Generation int `json:"generation"`
	}
	// OpenCheckpoint opens a checkpoint ahead of the Restore that needs it.
	OpenCheckpoint struct {
		Seq checkpoint.Seq `json:"seq"`
	}
	// CloseCheckpoint closes a checkpoint that was opened and isn't needed.
	CloseCheckpoint struct{}
	// Restore loads a checkpoint in the sandbox, which then holds it.
	Restore struct {
		Generation int            `json:"generation"`
		Seq        checkpoint.Seq `json:"seq"`
	}
	// AwaitPages waits until all memory of a copy is there. It isn't answered
	// when the sandbox is gone before.
	AwaitPages struct {
		Generation int `json:"generation"`
	}
	// Release lets the held copy run, told of the failure, after the connections
	// that can't go on were reset in the sandbox Stopped, 0 for none.
	Release struct {
		Generation int          `json:"generation"`
		Stopped    int          `json:"stopped,omitempty"`
		Info       failure.Info `json:"info"`
		FailedAt   time.Time    `json:"failed_at"`
	}
	// Destroy removes a sandbox. Hangup: its connections are reset first.
	Destroy struct {
		Generation int  `json:"generation"`
		Hangup     bool `json:"hangup,omitempty"`
	}
	// Refuse lets the failing sandbox go on to fail.
	Refuse struct {
		Generation int      `json:"generation"`
		Reasons    []string `json:"reasons"`
	}
	// CauseFailure makes the sandbox stop as at a failure.
	CauseFailure struct {
		Generation int           `json:"generation"`
		Failure    failure.State `json:"failure"`
	}
	// Signal sends an operator's signal to the program.
	Signal struct {
		Request    uint64 `json:"request"`
		Generation int    `json:"generation"`
		Signal     int    `json:"signal"`
		All        bool   `json:"all,omitempty"`
		Foreground bool   `json:"foreground,omitempty"`
	}
	// RepeatSignals sends signals to a copy that its program had before. It isn't
	// answered.
	RepeatSignals struct {
		Generation int                 `json:"generation"`
		Signals    []event.SignalAsked `json:"signals"`
	}
	// Pause pauses the sandbox or lets it run on.
	Pause struct {
		Generation int  `json:"generation"`
		Paused     bool `json:"paused"`
	}
	// SetMemory has programs find as much memory as the container may use now.
	SetMemory struct {
		Request     uint64 `json:"request"`
		Generations []int  `json:"generations"`
	}
)

// Actions on checkpoints and the host.
type (
	// TakeCheckpoint has the sandbox write a checkpoint, and publishes it.
	TakeCheckpoint struct {
		Generation int                `json:"generation"`
		Seq        checkpoint.Seq     `json:"seq"`
		Parent     checkpoint.Seq     `json:"parent,omitempty"`
		Trigger    checkpoint.Trigger `json:"trigger"`
		// RunTime is the program's at At; Ages: it goes on until the pause.
		RunTime time.Duration `json:"run_time_ns"`
		At      time.Time     `json:"at"`
		Ages    bool          `json:"ages,omitempty"`
	}
	// AbortCheckpoint ends the checkpoint that is being taken.
	AbortCheckpoint struct{}
	// AbandonCheckpoint has the checkpoint that is being taken not be published.
	AbandonCheckpoint struct {
		Err *fault.Fault `json:"err"`
	}
	// AnswerProgram lets threads return from RECOVER_CHECKPOINT.
	AnswerProgram struct {
		Generation int          `json:"generation"`
		TIDs       []int32      `json:"tids"`
		Err        *fault.Fault `json:"err,omitempty"`
	}
	// RemoveCheckpoints removes checkpoints from the store. It is answered where
	// For isn't empty.
	RemoveCheckpoints struct {
		For     schedule.Purpose `json:"for,omitempty"`
		Seqs    []checkpoint.Seq `json:"seqs"`
		Reasons []string         `json:"reasons,omitempty"`
	}
	// CompactStore has the store give back the room that no checkpoint needs.
	CompactStore struct {
		For     schedule.Purpose `json:"for"`
		Reasons []string         `json:"reasons,omitempty"`
	}
	// ReadUsage reads the store's size.
	ReadUsage struct{}
	// ReadMemory reads the container's memory use.
	ReadMemory struct{}
	// WatchMemory reads the container's memory use after that much time.
	WatchMemory struct {
		After time.Duration `json:"after_ns"`
	}
	// WeighStandby reads the container's memory use and that of the standby, 0
	// for none.
	WeighStandby struct {
		Generation int `json:"generation"`
	}
	// ReadOOMKills reads how many processes the kernel has killed for want of
	// memory.
	ReadOOMKills struct {
		Generation int `json:"generation"`
	}
	// SetTimer asks for TimerFired after that much time.
	SetTimer struct {
		Timer      event.Timer   `json:"timer"`
		Generation int           `json:"generation,omitempty"`
		After      time.Duration `json:"after_ns"`
		Reason     string        `json:"reason,omitempty"`
	}
	// CancelTimer takes SetTimer back.
	CancelTimer struct {
		Timer event.Timer `json:"timer"`
	}
)

// Actions on records, and answers to commands and operators.
type (
	// BeginEpisode opens the record of an episode.
	BeginEpisode struct {
		Number  int           `json:"number"`
		Failure failure.State `json:"failure"`
		At      time.Time     `json:"at"`
	}
	// BeginAttempt opens the record of an attempt.
	BeginAttempt struct {
		Attempt  recovery.BeginAttempt `json:"attempt"`
		FailedAt time.Time             `json:"failed_at"`
		StopTook time.Duration         `json:"stop_took_ns"`
	}
	// NoteRestored records how long the copy took to make, and its standby.
	NoteRestored struct {
		Took    time.Duration  `json:"took_ns"`
		Standby config.Standby `json:"standby"`
		Reasons []string       `json:"reasons,omitempty"`
	}
	// NoteReleased records how long the copy's release took.
	NoteReleased struct {
		Generation int            `json:"generation"`
		Seq        checkpoint.Seq `json:"seq"`
		Took       time.Duration  `json:"took_ns"`
	}
	// EndAttempt closes the record of the attempt.
	EndAttempt struct {
		Outcome recovery.Outcome `json:"outcome"`
		Reasons []string         `json:"reasons"`
	}
	// EndEpisode closes the record of the episode.
	EndEpisode struct {
		Outcome recovery.Outcome `json:"outcome"`
		Reasons []string         `json:"reasons"`
		At      time.Time        `json:"at"`
	}
	// Save writes state and records that have changed. Replies that follow wait
	// for it.
	Save struct{}
	// Reply answers a command's request.
	Reply struct {
		Request    uint64 `json:"request"`
		Generation int    `json:"generation,omitempty"`
		// Version is for SandboxAsked.After.
		Version  uint64              `json:"version,omitempty"`
		Manifest checkpoint.Manifest `json:"manifest,omitzero"`
		// View asks for Lifecycle.View beside.
		View bool         `json:"view,omitempty"`
		Err  *fault.Fault `json:"err,omitempty"`
	}
	// InformFailed tells the operator of a failure that was reported.
	InformFailed struct {
		Generation int          `json:"generation"`
		Kind       failure.Kind `json:"kind"`
		Code       int32        `json:"code,omitempty"`
		Signo      int32        `json:"signo,omitempty"`
		Message    string       `json:"message,omitempty"`
	}
	// InformEnded tells the operator of a sandbox's end.
	InformEnded struct {
		Generation int          `json:"generation"`
		Status     int          `json:"status,omitempty"`
		Crashed    bool         `json:"crashed,omitempty"`
		Err        *fault.Fault `json:"err,omitempty"`
	}
	// Inform tells the operator of another turn in the container's life.
	Inform struct {
		Text    string   `json:"text"`
		Reasons []string `json:"reasons,omitempty"`
	}
	// Warn tells the operator of an error that is dealt with.
	Warn struct {
		Text string       `json:"text"`
		Err  *fault.Fault `json:"err,omitempty"`
	}
	// End ends the container. Nothing follows.
	End struct {
		Status  int      `json:"status"`
		Reasons []string `json:"reasons"`
	}
)

func (Boot) action()              {}
func (PrepareStart) action()      {}
func (StartProgram) action()      {}
func (StartAfresh) action()       {}
func (AnnounceStart) action()     {}
func (ReadNetwork) action()       {}
func (OpenCheckpoint) action()    {}
func (CloseCheckpoint) action()   {}
func (Restore) action()           {}
func (AwaitPages) action()        {}
func (Release) action()           {}
func (Destroy) action()           {}
func (Refuse) action()            {}
func (CauseFailure) action()      {}
func (Signal) action()            {}
func (RepeatSignals) action()     {}
func (Pause) action()             {}
func (SetMemory) action()         {}
func (TakeCheckpoint) action()    {}
func (AbortCheckpoint) action()   {}
func (AbandonCheckpoint) action() {}
func (AnswerProgram) action()     {}
func (RemoveCheckpoints) action() {}
func (CompactStore) action()      {}
func (ReadUsage) action()         {}
func (ReadMemory) action()        {}
func (WatchMemory) action()       {}
func (WeighStandby) action()      {}
func (ReadOOMKills) action()      {}
func (SetTimer) action()          {}
func (CancelTimer) action()       {}
func (BeginEpisode) action()      {}
func (BeginAttempt) action()      {}
func (NoteRestored) action()      {}
func (NoteReleased) action()      {}
func (EndAttempt) action()        {}
func (EndEpisode) action()        {}
func (Save) action()              {}
func (Reply) action()             {}
func (InformFailed) action()      {}
func (InformEnded) action()       {}
func (Inform) action()            {}
func (Warn) action()              {}
func (End) action()               {}
