// Package engine is the loop that keeps one container going: events in, actions
// out.
//
//	commands ─┐                              ┌─▶ sandboxes
//	sandboxes ─┼─▶ inbox ─▶ lifecycle.Step ─▶ perform ─┼─▶ store, host
//	timers ────┤                              └─▶ recorder ─▶ files, replies
//	answers ◀──┴────────────────────────────────────┘
//
// Package lifecycle decides which actions an event leads to; perform carries them
// out, and work that may block runs in a goroutine of its own and posts its result
// as an event. With debugging on, events and actions are in the log as they
// happen, and lifecycle.Replay repeats the decisions.
//
// It must not know how checkpoints are laid out or any type of gVisor's: to it a
// sandbox is a sandbox.Sandbox, made by a function that it is given. A sandbox's
// messages are bounded before they are kept, no call into a sandbox can hold the
// loop, and its death at any point is an event like any other.
//
// Locks: none but those of the standard library. Goroutines: the loop, in Run,
// owns the engine's state; the recorder writes files and answers commands, in
// order; one for each sandbox passes its reports on; one for each action under way.
// Run returns when all have ended, or are given up after teardownTime.
package engine
