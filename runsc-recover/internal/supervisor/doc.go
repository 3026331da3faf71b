// Package supervisor is the process that owns one container for as long as it
// lives. Its pid is the container's; sandboxes come and go.
//
// It holds what outlives a sandbox: stdio and terminal, network namespace,
// cgroup, checkpoint store, records. It makes the container in named steps,
// wires an engine (package engine) to them and serves commands (package api).
//
// It must not know how checkpoints are laid out, any type of gVisor's, or what
// the engine decides.
//
// Locks: none. Goroutines beside the engine's: the process's first thread, which
// serves calls that need it; the reaper; the forwarder of signals; the server.
package supervisor
