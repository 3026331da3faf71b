// Package supervisor is the process that owns one container for as long as it
// lives. Its pid is the container's; sandboxes, which it calls generations,
// come and go.
//
// It holds what outlives a generation: stdio and terminal, network namespace,
// cgroup, checkpoint store, records. An Engine carries out what the recovery
// machine of package recovery decides, and serves commands through package
// control; a LastingThread boots sandboxes, which die with it.
//
// It must not know how checkpoints are laid out or any type of gVisor's: to it
// a sandbox is a Generation, made by a Booter. Whatever a sandbox says is
// bounded before it is kept, no call into one can hold the engine's loop, and
// its death at any point is an event like any other.
//
// There are no locks but those of the standard library: one goroutine owns the
// engine's state and others send it functions to run. Functions that run there
// never block.
package supervisor
