// Package runsc implements the sandbox contract on gVisor: it boots, starts,
// restores, checkpoints, signals and kills an ordinary gVisor sandbox, and talks
// to the agent in it. A sandbox of this driver holds exactly one container.
// README.md has figures.
//
// It must not know when or why any of that happens. A sandbox is hostile: its
// messages are bounded and validated (package wire), its descriptors are never
// mapped, every request has a deadline, and its death at any point ends requests
// with sandbox.ErrGone.
//
// # Locks
//
// An arrow means that the lock on its right may be taken while that on its left
// is held:
//
//	instance.mu ──> instance.loading ──> channel.mu
//	rxqueue.Keeper.mu ──> rxqueue.Queues.mu
//	reporter.mu, fence.Fence.mu, lazypages.Server.mu       alone
//
// Destroy holds instance.mu throughout, and loading at its end; in between it
// waits for the goroutine await, which takes loading. A start or restore holds
// loading, and ends when the sandbox is killed. reporter.mu is held while an
// event waits for its receiver, so nothing reports with a lock held.
//
// # Goroutines
//
// Each sandbox has, from Boot on:
//
//	listen      reads the agent's messages until the sandbox hangs up and its
//	            exit was reported, then closes the events
//	await       waits for the program's end, or the sandbox's, and reports it
//	watchGofer  kills the sandbox when its gofer ends first; with one more that
//	            closes the pidfd
//
// and for a time:
//
//	bounded     one for each call of gVisor's, which may outlast its deadline
//	            but not the sandbox
//	adopt       from Restore until the copy's memory is loaded
//	deliverLate for 127 ms after Release
//	            and those of packages lazypages and dockerdns
package runsc
