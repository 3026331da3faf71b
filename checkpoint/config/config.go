// Package config is the one configuration of how a container is protected: its
// options, their words, bounds and defaults, parsed from annotations and flags.
//
// It must not know what is done with the values.
package config

import (
	"time"
)

// Durability says what a container's checkpoints survive.
type Durability string

// The durabilities.
const (
	DurabilityMemory Durability = "memory" // the sandbox's death
	DurabilityDisk   Durability = "disk"   // the supervisor's, and a reboot
)

// Exhausted says what happens to a container whose recovery budget is spent.
type Exhausted string

// What to do when the budget is spent.
const (
	ExhaustedExit    Exhausted = "exit"    // end as it would have ended without us
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

// Tracking says how a sandbox finds out what changed since a checkpoint.
type Tracking string

// The ways to find out what changed.
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
	// StandbyLag is how much run time a hot standby may lie behind the newest
	// checkpoint and still be what a first attempt uses.
	StandbyLag time.Duration `json:"standby_lag_ns"`
	// StandbyMemory is the most memory that a standby may take, in bytes.
	StandbyMemory uint64   `json:"standby_memory"`
	Tracking      Tracking `json:"tracking"`
	// Verify compares every checkpoint with all of memory, byte for byte.
	Verify bool `json:"verify,omitempty"`
}

// AnnotationPrefix begins the name of every annotation of ours.
const AnnotationPrefix = "dev.runsc-recover."
