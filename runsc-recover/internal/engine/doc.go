// Package engine carries out, for one container, what the machines of package
// checkpoint/recovery and its siblings decide: it boots, checkpoints, restores
// and replaces sandboxes, and keeps the records.
//
// It must not know how checkpoints are laid out or any type of gVisor's: to it a
// sandbox is a sandbox.Sandbox, made by a function that it is given. Whatever a
// sandbox says is bounded before it is kept, no call into one can hold the
// loop, and its death at any point is an event like any other.
//
// There are no locks but those of the standard library: one goroutine owns the
// engine's state and others send it functions to run. Functions that run there
// never block.
package engine
