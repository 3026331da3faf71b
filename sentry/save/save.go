// Package save takes checkpoints of the kernel in this process: the kernel's
// objects and the program's memory go into files, with as short a pause of the
// program as can be had. It owns the means to that: the encoding of
// the objects beside Kernel.SaveTo (graph.go), the capture of memory that
// changed (package capture), dirty tracking of it (package dirtytrack), and the
// times at which this process's garbage is collected (collector.go). README.md
// has the order of steps.
//
// It must not know failures, requests, paths or when a checkpoint is due.
//
// # Locks
//
// In this order: Saver.mu, Request.Exclusive, then the locks of the kernel.
// Collector's lock is taken last and held for no call of another package but
// the runtime's.
//
// # Goroutines
//
// A checkpoint starts one that encodes the kernel's objects. It looks at them
// only while the kernel is paused and quiesced, which lasts until it has begun
// to write, and from then on only at its own encoding. gVisor's SaveTo starts
// its writer of pages. After boot a timer runs a garbage collection, which
// looks at no kernel. None of this package's state is part of a checkpoint.
package save

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"gvisor.dev/gvisor/pkg/fd"
	"gvisor.dev/gvisor/pkg/sentry/kernel"
	"gvisor.dev/gvisor/pkg/sentry/pgalloc"
	"gvisor.dev/gvisor/pkg/sentry/state/stateio"

	"runsc-recover/sentry/capture"
	"runsc-recover/sentry/dirtytrack"
	"runsc-recover/sentry/netbuffer"
	"runsc-recover/sentry/wire"
)

// ErrMetadata is wrapped by errors of Take: the metadata that a restore needs
// can't be made.
var ErrMetadata = errors.New("no metadata for the checkpoint")

// Saver takes checkpoints of this process's kernel. There is one in a process.
type Saver struct {
	// Collector is told when the sandbox boots and when it has booted.
	Collector Collector

	// restored is a copy's memory, which may still be being loaded; nil where
	// the sandbox wasn't restored.
	restored atomic.Pointer[pgalloc.MemoryFile]

	trackOnce sync.Once
	// tracker is set by trackOnce; nil where the host's kernel can't track.
	tracker *dirtytrack.Tracker

	// mu is held while memory is captured, and while a copy's memory is compared
	// with the checkpoint that it was restored from, beside which everything
	// else goes on.
	mu sync.Mutex
	// capturer is guarded by mu.
	capturer *capture.Capturer
}

// New returns a Saver that tracks nothing until Track.
func New() *Saver {
	return &Saver{capturer: capture.New(nil)}
}

// Files are the files of a checkpoint. They stay the caller's.
type Files struct {
	Kernel    *fd.FD // the state file
	PagesMeta *fd.FD // gVisor's description of the memory
	PageIndex *fd.FD // for each page, whether it is staged or the parent's
	Staged    *fd.FD // the pages that changed
	Full      *fd.FD // all pages; nil for none
}

// Request is a checkpoint to be taken.
type Request struct {
	Kernel     *kernel.Kernel
	Checkpoint wire.TakeCheckpoint
	Files      Files
	// NetworkMode is gVisor's, for the metadata.
	NetworkMode string
	// Exclusive is held during the pause.
	Exclusive sync.Locker
	// Network returns the buffer that keeps packets which arrive during the
	// pause. It is called with Exclusive held.
	Network func() *netbuffer.Buffer
	// Stopped is called once every task has stopped. Its error ends the
	// checkpoint, and Take returns it as it is.
	Stopped func() error
}

// Take stops the program, writes kernel and memory into files and lets the
// program run on. A checkpoint that fails leaves the program as it was. Errors:
// ErrMetadata, that of Request.Stopped, and others; see IsFull.
func (s *Saver) Take(r Request) (*wire.CheckpointCost, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	meta, err := metadata(r.Kernel, r.NetworkMode)
	if err != nil {
		return nil, err
	}
	pages, err := s.capturer.Begin(captureRequest(r))
	if err != nil {
		return nil, err
	}
	objects, err := newGraph(r.Kernel, r.Files.Kernel, meta)
	if err != nil {
		return nil, err
	}
	// A collection in the pause would double it. The collector's debt is paid
	// while the program runs, and when the objects' encoding is garbage.
	s.Collector.stop()
	defer s.Collector.start()
	cost, err := pause(r, objects, pages)
	if written := objects.finish(); err == nil {
		err = finish(written, pages, r.Files.PageIndex)
	}
	if err != nil {
		s.capturer.Abandon()
		return nil, err
	}
	cost.Tracking = s.capturer.Tracking()
	return cost, nil
}

func captureRequest(r Request) capture.Request {
	c := capture.Request{Seq: r.Checkpoint.Seq, Parent: r.Checkpoint.Parent, Staged: r.Files.Staged.FD(), Full: -1}
	if r.Files.Full != nil {
		c.Full = r.Files.Full.FD()
	}
	return c
}

// pause is the program's pause.
func pause(r Request, objects *graph, pages *capture.Capture) (*wire.CheckpointCost, error) {
	r.Exclusive.Lock()
	defer r.Exclusive.Unlock()
	began, cost := time.Now(), &wire.CheckpointCost{}
	// A stack that is being saved drops packets that arrive.
	network := r.Network()
	network.Hold()
	defer network.Release()
	r.Kernel.Pause()
	defer r.Kernel.Unpause()
	r.Kernel.ReceiveTaskStates()
	stopped := time.Now()
	cost.Stop = stopped.Sub(began)
	if err := r.Stopped(); err != nil {
		return nil, err
	}
	if err := save(r.Kernel, objects, r.Files.PagesMeta, pages); err != nil {
		return nil, err
	}
	cost.Kernel = objects.encodedAt.Sub(stopped)
	cost.Copy = time.Since(objects.encodedAt)
	return cost, nil
}

// save encodes the paused kernel's objects and captures its memory, which goes
// on beside that and may take longer. A failed save leaves the kernel as it
// was.
func save(k *kernel.Kernel, objects *graph, pagesMeta *fd.FD, pages *capture.Capture) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("save the kernel: %v", r)
		}
	}()
	meta := &metaFile{BufioWriteCloser: stateio.NewBufioWriteCloser(pagesMeta)}
	memory := &memoryFiles{Capture: pages, meta: meta}
	defer k.BeforeResume(objects.ctx)
	err = k.SaveTo(objects.ctx, objects, meta, memory, false, true)
	if !objects.isEncoded() {
		return fmt.Errorf("save the kernel: %w", err)
	}
	return memory.check()
}

// finish writes the page index, after the objects, whose error is part of its
// own.
func finish(objects error, pages *capture.Capture, to *fd.FD) error {
	index, err := pages.Finish()
	if err == nil {
		_, err = to.Write(index)
	}
	if err = errors.Join(objects, err); err != nil {
		return fmt.Errorf("write the checkpoint: %w", err)
	}
	return nil
}

// IsFull reports whether a checkpoint failed because its files have no room.
func IsFull(err error) bool {
	return errors.Is(err, capture.ErrFull) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EFBIG) || errors.Is(err, unix.EDQUOT)
}
