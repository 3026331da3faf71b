package supervisor

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"
	"sync/atomic"

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

// gcPercent is the garbage that the supervisor may have beside its live memory:
// there is one supervisor for each container, and it allocates little.
const gcPercent = 40

// Main is the supervisor: it makes the container that its creator describes,
// owns it to its end and returns its exit status, with which the process has
// to exit. It writes nothing to its stdio, which is the container's.
//
// Preconditions: the caller's goroutine is locked to the process's first
// thread.
func Main(ctx context.Context, booter sandbox.Booter, gvisorVersion string) int {
	s := supervisor{booter: booter, gvisorVersion: gvisorVersion, first: osthread.NewServed()}
	done := make(chan struct{})
	var status int
	go func() {
		defer close(done)
		status = s.run(ctx)
	}()
	s.first.Serve(done)
	return status
}

// run is Main, beside the first thread.
func (s *supervisor) run(ctx context.Context) int {
	debug.SetGCPercent(gcPercent)
	handshake := os.NewFile(fdHandshake, "handshake")
	lock := os.NewFile(fdLock, "lock")
	if err := readMessage(handshake, &s.opts); err != nil {
		return 1
	}
	err := s.create(ctx)
	reply := created{Pid: os.Getpid(), Warnings: s.warnings, Error: api.Classify(err)}
	if err := errors.Join(err, sendMessage(handshake, reply)); err != nil {
		// Nobody knows of the container: it must not be.
		s.abandon(ctx, err)
		return 1
	}
	handshake.Close()
	lock.Close()
	if err := programtext.Unmap(); err != nil {
		s.log.Warn("program text not unmapped", "error", err)
	}
	return s.serve(ctx)
}

// supervisor is the process's own state; the container's is the engine's. Fields
// are set by the steps of the creation, in their order, and immutable afterwards,
// but for those that say otherwise.
type supervisor struct {
	booter        sandbox.Booter
	gvisorVersion string
	first         *osthread.Thread // the process's first

	opts     Options // but Network, which settleNetwork may change
	log      *slog.Logger
	hostNS   *os.File         // the creator's network namespace
	files    map[int]*os.File // preserved descriptors by the program's number
	shield   *oomscore.Shield
	bundle   *oci.Bundle
	spec     specconv.Result
	network  netns.Plan
	claims   netns.Claims
	plan     cgroup.Plan
	cgroup   *cgroup.Cgroup // nil when the container has none
	base     statedir.State // as first written
	engine   *engine.Engine
	server   *http.Server
	warnings []string // for the creator

	// before is the configuration of the network namespace before a sandbox took
	// it. The engine's calls set and read it, one after the other.
	before netns.Snapshot
	// thread boots sandboxes; a boot that hangs makes the next one get another.
	thread  atomic.Pointer[osthread.Thread]
	booting atomic.Int32 // boots under way
	latest  atomic.Pointer[engine.Snapshot]
}
