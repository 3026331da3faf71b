// Package lazypages gives a restored copy its memory on demand, which CRIU calls
// lazy pages. It serves a checkpoint's image over the protocol that gVisor has
// for checkpoints in the cloud (its packages stateipc and urpc): the sandbox
// asks for ranges of the image's files, and the server writes them into the
// sandbox's memory file. README.md has a figure.
//
// It must not know which sandbox it serves, or the consequences of a damaged
// image.
//
// The sandbox is hostile, since its program runs while it is served. Calls are
// bounded in size, each file can be opened once, and each page read once. Only
// memfds are written to, and never through a mapping, which the sandbox could
// cut. A page with a wrong hash is never handed out: its read stays unanswered,
// so that the program sees no error that it would not have had.
//
// Server.mu guards the results and reader.mu the files of the sandbox that are
// filled. The order is reader.mu, then Server.mu; neither is held over a read, a
// write, or a call of damaged.
//
// A Server has a goroutine that answers calls, from Serve until the sandbox
// hangs up, and gVisor's server has one for each file that is open, which ends
// before Done is closed.
package lazypages
