package detect

import (
	"gvisor.dev/gvisor/pkg/sentry/kernel"

	"runsc-recover/sentry/failure"
)

// Causes are the failures that are worth stopping for.
type Causes struct {
	Report, Signal bool
}

// Look decides whether there is a failure. It must not block.
type Look func(k *kernel.Kernel, on Causes) (failure.State, bool)

// Sandbox is the sandbox as its failure detectors see it.
type Sandbox interface {
	// FailOnTask calls f, unless the sandbox has no kernel yet or fails
	// already, and stops the sandbox at the failure that it finds. The caller
	// runs on the goroutine of a task.
	FailOnTask(f Look)
	// FailOffTask is FailOnTask for all other goroutines. It waits while a
	// checkpoint is taken.
	FailOffTask(f Look)
}
