package supervisor

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"
	"sync/atomic"

	"runsc-recover/checkpoint"
	"runsc-recover/oci"
	"runsc-recover/oci/specconv"
	"runsc-recover/oci/statedir"
	"runsc-recover/runsc-recover/internal/api"
	"runsc-recover/runsc-recover/internal/engine"
	"runsc-recover/runsc-recover/internal/host/cgroup"
	"runsc-recover/runsc-recover/internal/host/netns"
	"runsc-recover/runsc-recover/internal/host/oomscore"
	"runsc-recover/runsc-recover/internal/host/osthread"
	"runsc-recover/runsc-recover/internal/host/programtext"
	"runsc-recover/runsc-recover/internal/sandbox"
)

// gcPercent is how much garbage the supervisor has beside what it needs: there
// is one for each container, and it allocates little.
const gcPercent = 40

// MainOptions is what the supervise command is wired with.
type MainOptions struct {
	// NewBooter returns the sandbox layer for the container's options.
	NewBooter     func(SpawnOptions) sandbox.Booter
	GVisorVersion string
}

// Main is the supervisor: it makes the container that its creator describes,
// owns it to its end and returns its exit status, with which the process has
// to exit. It writes nothing to its stdio, which is the container's.
//
// Preconditions: the caller's goroutine is locked to the process's first
// thread.
func Main(ctx context.Context, opts MainOptions) int {
	first := osthread.NewServed()
	done := make(chan struct{})
	var status int
	go func() {
		defer close(done)
		status = own(ctx, opts, first)
	}()
	first.Serve(done)
	return status
}

// own is Main, beside the first thread.
func own(ctx context.Context, opts MainOptions, first *osthread.Thread) int {
	debug.SetGCPercent(gcPercent)
	handshake := os.NewFile(fdHandshake, "handshake")
	lock := os.NewFile(fdLock, "lock")
	var s supervisor
	if err := readMessage(handshake, &s.opts); err != nil {
		return 1
	}
	s.main, s.first = opts, first
	err := s.create(ctx)
	reply := created{Pid: os.Getpid(), Warnings: s.notes, Error: api.Classify(err)}
	err = errors.Join(err, sendReply(handshake, reply))
	if err != nil {
		// Nobody knows of the container: it must not be.
		s.abandon(ctx, err)
		return 1
	}
	handshake.Close()
	lock.Close()
	if err := programtext.Unmap(); err != nil {
		s.log.Warn("unmap what is no longer needed", "error", err)
	}
	return s.serve(ctx)
}

// supervisor is the process's own state; the container's is the engine's.
type supervisor struct {
	opts    SpawnOptions
	main    MainOptions
	log     *slog.Logger
	hostNS  *os.File
	files   map[int]*os.File // preserved descriptors by the program's number
	bundle  *oci.Bundle
	network netns.Plan
	claims  netns.Claims
	before  netns.Snapshot // of the namespace, before a sandbox took it
	notes   []string       // warnings for the creator
	spec    specconv.Result
	plan    cgroup.Plan
	cgroup  *cgroup.Cgroup // nil when it has none
	base    statedir.State // as first written; immutable
	store   checkpoint.Store
	engine  *engine.Engine
	server  *http.Server
	thread  atomic.Pointer[osthread.Thread]
	first   *osthread.Thread // the process's first
	shield  *oomscore.Shield
	booting atomic.Int32
	latest  atomic.Pointer[engine.Snapshot]
}
