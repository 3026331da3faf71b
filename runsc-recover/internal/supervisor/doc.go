// Package supervisor is the process that owns one container for as long as it
// lives. Its pid is the container's; sandboxes come and go.
//
// It owns the parts of a container that outlive a sandbox: stdio and terminal,
// network namespace, cgroup, checkpoint store, records. The creator spawns it and
// they shake hands (handshake.go, spawn.go); it makes the container in named steps
// (create.go), wires an engine to them (wiring.go, boot.go), and then serves
// commands and passes signals on until the container is over (serve.go,
// service.go, signals.go).
//
// It must not know how checkpoints are laid out, any type of gVisor's, or why the
// engine decides as it does.
//
// Locks: none. Goroutines beside the engine's: the process's first thread, which
// runs calls that need it and nothing else; one lasting thread for boots, and
// another after each boot that hung; the reaper; the forwarder of signals; the
// server.
package supervisor
