package sandbox

import (
	"runsc-recover/sentry/failure"
	"runsc-recover/sentry/wire"
)

// Event is a report of a sandbox.
type Event struct {
	// Generation is the sandbox's, as Boot was given it.
	Generation int
	// Container names the container that the event concerns. It is empty when
	// the event concerns all of the sandbox: its death, a damaged checkpoint.
	Container string
	// Exactly one of the following is set.
	Failure    *failure.State          // the sandbox is stopped and waits for a recovery or Refuse
	Checkpoint *wire.CheckpointRequest // the program asked for a checkpoint
	Resolved   bool                    // RECOVER_RESOLVED
	Exited     *Exit                   // the container's first process ended, or the sandbox died
	// Damaged says that the checkpoint that the sandbox was restored from is
	// damaged, which came out when pages were loaded. The sandbox is being
	// killed.
	Damaged error
}

// Exit is the end of the container that its Event names.
type Exit struct {
	// Status is the wait status's exit code: 128+n for signal n.
	Status int
	// Crashed is set when the sandbox itself died, rather than the container's
	// program.
	Crashed bool
	Err     error
}
