// Package config is the one configuration of a container's protection: its
// options, their words, bounds and defaults, parsed from annotations and flags;
// and the words for the network stack beside it.
//
// It must not know the use of the values. It has no state.
package config

import (
	"time"
)

// Durability names the event that a container's checkpoints survive.
type Durability string

// The durabilities.
const (
	DurabilityMemory Durability = "memory" // the sandbox's death
	DurabilityDisk   Durability = "disk"   // the supervisor's, and a reboot
)

// Exhausted is the fate of a container whose recovery budget is spent.
type Exhausted string

// The fates.
const (
	ExhaustedExit    Exhausted = "exit"    // end as without recovery
	ExhaustedRestart Exhausted = "restart" // start afresh from the bundle
)

// Standby says how far a copy is prepared before it is needed.
type Standby string

// The kinds of standby.
const (
	StandbyCold Standby = "cold" // not at all
	StandbyWarm Standby = "warm" // a sandbox is booted and waits for a checkpoint
	StandbyHot  Standby = "hot"  // restored from a recent checkpoint and held
	StandbyAuto Standby = "auto" // the best that fits
)

// Tracking is the way in which a sandbox finds the pages that have changed since a
// checkpoint.
type Tracking string

// The ways of tracking.
const (
	TrackingAuto     Tracking = "auto"     // as the host's kernel can tell, or else as contents
	TrackingContents Tracking = "contents" // all memory is compared
)

// Triggers is the set of failures that are acted on.
type Triggers struct {
	Report bool `json:"report"` // RECOVER_FAIL
	Signal bool `json:"signal"` // a fatal signal of the program's own making
	Exit   bool `json:"exit"`   // the first process exits with a status other than 0
}

// Config is the whole recovery configuration of one container. It is parsed
// once, by Parse, and immutable afterwards.
type Config struct {
	Enabled     bool          `json:"enabled"`
	Interval    time.Duration `json:"interval_ns"`
	MaxOverhead float64       `json:"max_overhead"` // fraction of the run time, 0.05 for 5%
	Retain      int           `json:"retain"`
	On          Triggers      `json:"on"`
	Signal      int           `json:"signal"` // the default failure interrupt
	Grace       time.Duration `json:"grace_ns"`
	MaxAttempts int           `json:"max_attempts"`
	Exhausted   Exhausted     `json:"exhausted"`
	MaxRate     int           `json:"max_rate"` // episodes an hour
	Durability  Durability    `json:"durability"`
	Store       string        `json:"store"` // directory, absolute; empty: inside the container's state directory
	// StoreLimit bounds the store, in bytes; 0: nothing but Retain does.
	StoreLimit int64   `json:"store_limit,omitempty"`
	Standby    Standby `json:"standby"`
	// StandbyLag is the run time that a hot standby may lie behind the newest
	// checkpoint, and still be used by a first attempt.
	StandbyLag time.Duration `json:"standby_lag_ns"`
	// StandbyMemory is the most memory that a standby may take, in bytes.
	StandbyMemory uint64   `json:"standby_memory"`
	Tracking      Tracking `json:"tracking"`
	// Verify compares every checkpoint with all of memory, byte for byte.
	Verify bool `json:"verify,omitempty"`
}

// AnnotationPrefix begins the name of every annotation of this program.
const AnnotationPrefix = "dev.runsc-recover."
