// Package detect notices failures in the sandbox: a fatal signal, the first
// process's exit with a status other than 0, a heartbeat that doesn't come, a
// program's own report. It owns the rules for which of these is a failure and
// the error state that describes it, and the clocks of heartbeats.
//
// It must not know how a sandbox is stopped, to whom a failure is reported, or
// whether a program is recovered.
//
// # Locks
//
// Heartbeats.mu comes after the locks of a Sandbox, under which a Look runs,
// and before those of the kernel.
//
// # Goroutines
//
// An armed heartbeat has a timer, whose goroutine is no task's and so isn't
// stopped while the kernel is saved. It looks at the kernel only in
// Sandbox.FailOffTask, which waits for a checkpoint to end. All else runs on
// task goroutines, which stand still then.
package detect

import (
	"gvisor.dev/gvisor/pkg/sentry/kernel"

	"runsc-recover/sentry/failure"
)

// Causes are the causes of failure for which the sandbox is stopped.
type Causes struct {
	Report bool // reports of the program, missed heartbeats included
	Signal bool
}

// Look decides whether there is a failure. It must not block.
type Look func(k *kernel.Kernel, on Causes) (failure.State, bool)

// Sandbox is the sandbox as its failure detectors see it.
type Sandbox interface {
	// FailOnTask calls f and stops the sandbox at the failure that f finds. It
	// doesn't call f where the sandbox has no kernel yet or has failed already.
	// The caller runs on a task goroutine.
	FailOnTask(f Look)
	// FailOffTask is FailOnTask for all other goroutines. It waits while a
	// checkpoint is taken.
	FailOffTask(f Look)
}
