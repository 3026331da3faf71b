package agent

import (
	"gvisor.dev/gvisor/pkg/sentry/kernel"

	"runsc-recover/sentry/failure"
)

// causes are the failures that are worth stopping for.
type causes struct {
	Report, Signal bool
}

// look decides whether there is a failure. It must not block.
type look func(k *kernel.Kernel, on causes) (failure.State, bool)

// detectorSandbox is the sandbox as its failure detectors see it.
type detectorSandbox interface {
	// FailOnTask calls f, unless the sandbox has no kernel yet or fails
	// already, and stops the sandbox at the failure that it finds. The caller
	// runs on the goroutine of a task.
	FailOnTask(f look)
	// FailOffTask is FailOnTask for all other goroutines. It waits while a
	// checkpoint is taken.
	FailOffTask(f look)
}
