package save

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"gvisor.dev/gvisor/pkg/fd"
	"gvisor.dev/gvisor/pkg/sentry/kernel"
	"gvisor.dev/gvisor/pkg/sentry/pgalloc"
	"gvisor.dev/gvisor/pkg/sentry/state/stateio"
	"gvisor.dev/gvisor/pkg/state/statefile"
	"gvisor.dev/gvisor/runsc/boot"
	"gvisor.dev/gvisor/runsc/specutils"
	"gvisor.dev/gvisor/runsc/version"

	"runsc-recover/sentry/capture"
	"runsc-recover/sentry/dirtytrack"
	"runsc-recover/sentry/netbuffer"
	"runsc-recover/sentry/wire"
)

// networkKey is the metadata key of the network mode, which gVisor's boot
// package doesn't export.
const networkKey = "network"

// ErrMetadata: the metadata that a restore needs can't be made. It is wrapped.
var ErrMetadata = errors.New("no metadata for the checkpoint")

// Saver takes checkpoints of this process's kernel.
type Saver struct {
	Collector Collector

	// Restored is a copy's memory, which may still be being loaded; nil for
	// none.
	Restored atomic.Pointer[pgalloc.MemoryFile]

	trackOnce sync.Once
	// tracker is set by trackOnce; nil when the host's kernel can't.
	tracker *dirtytrack.Tracker

	// captureMu is held while memory is captured, and while a copy's memory
	// is compared with what it was restored from, beside which all else goes
	// on.
	captureMu sync.Mutex
	// capturer is guarded by captureMu.
	capturer *capture.Capturer
}

func New() *Saver {
	return &Saver{capturer: capture.New(nil)}
}

// Request is a checkpoint to be taken. Its files stay the caller's.
type Request struct {
	Kernel     *kernel.Kernel
	Checkpoint wire.TakeCheckpoint
	// NetworkMode is gVisor's, for the metadata.
	NetworkMode string

	KernelFile, PagesMeta, PageIndex, Staged *fd.FD
	Full                                     *fd.FD // nil for none

	// Exclusive is held during the pause.
	Exclusive sync.Locker
	// Network returns the buffer that keeps what arrives during the pause. It is
	// called with exclusive held.
	Network func() *netbuffer.Buffer
	// Stopped is called once every task has stopped. Its error ends the
	// checkpoint, and is returned as it is.
	Stopped func() error
}

// Take stops the program, writes it into files and lets it run on.
func (s *Saver) Take(r Request) (*wire.CheckpointCost, error) {
	s.captureMu.Lock()
	defer s.captureMu.Unlock()
	meta, err := metadata(r.Kernel, r.NetworkMode)
	if err != nil {
		return nil, err
	}
	request := capture.Request{Seq: r.Checkpoint.Seq, Parent: r.Checkpoint.Parent, Staged: r.Staged.FD(), Full: -1}
	if r.Full != nil {
		request.Full = r.Full.FD()
	}
	pages, err := s.capturer.Begin(request)
	if err != nil {
		return nil, err
	}
	objects, err := newGraph(r.Kernel, r.KernelFile, meta)
	if err != nil {
		return nil, err
	}
	// A collection in the pause would double it. The collector's debt is paid
	// while the program runs, and when the objects' encoding is garbage.
	s.Collector.stop()
	defer s.Collector.start()
	cost, err := stopAndSave(r, objects, pages)
	if written := objects.finish(); err == nil {
		err = finish(written, pages, r.PageIndex)
	}
	if err != nil {
		s.capturer.Abandon()
		return nil, err
	}
	cost.Tracking = s.capturer.Tracking()
	return cost, nil
}

// finish writes the index, after the objects. Its error is theirs too.
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

// stopAndSave is the program's pause.
func stopAndSave(r Request, objects *graph, pages *capture.Capture) (*wire.CheckpointCost, error) {
	r.Exclusive.Lock()
	defer r.Exclusive.Unlock()
	cost := &wire.CheckpointCost{TakenAt: time.Now()}
	// A stack that is being saved drops what arrives.
	network := r.Network()
	network.Hold()
	defer network.Release()
	r.Kernel.Pause()
	defer r.Kernel.Unpause()
	r.Kernel.ReceiveTaskStates()
	stopped := time.Now()
	cost.Stop = stopped.Sub(cost.TakenAt)
	if err := r.Stopped(); err != nil {
		return nil, err
	}
	if err := save(r.Kernel, objects, r.PagesMeta, pages); err != nil {
		return nil, err
	}
	cost.Kernel = objects.encodedAt.Sub(stopped)
	cost.Copy = time.Since(objects.encodedAt)
	return cost, nil
}

// IsFull reports whether a checkpoint failed because its files have no room.
func IsFull(err error) bool {
	return errors.Is(err, capture.ErrFull) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EFBIG) || errors.Is(err, unix.EDQUOT)
}

// metadata returns what gVisor's restore wants to find before the kernel.
func metadata(k *kernel.Kernel, networkMode string) (map[string]string, error) {
	loader, ok := k.Saver().(interface {
		GetContainerSpecs() map[string]*specs.Spec
	})
	if !ok {
		return nil, fmt.Errorf("%w: the kernel has no loader", ErrMetadata)
	}
	containers := loader.GetContainerSpecs()
	text, err := specutils.ConvertSpecsToString(containers)
	if err != nil {
		return nil, fmt.Errorf("%w: encode the containers' specs: %w", ErrMetadata, err)
	}
	meta := statefile.CompressionLevelNone.ToMetadata()
	meta[boot.ContainerCountKey] = fmt.Sprint(len(containers))
	meta[boot.ContainerSpecsKey] = text
	meta[boot.VersionKey] = version.Version()
	meta[networkKey] = networkMode
	return meta, nil
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
