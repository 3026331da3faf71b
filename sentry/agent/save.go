package agent

import (
	"errors"
	"fmt"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"gvisor.dev/gvisor/pkg/fd"
	"gvisor.dev/gvisor/pkg/sentry/kernel"
	"gvisor.dev/gvisor/pkg/sentry/state/stateio"
	"gvisor.dev/gvisor/pkg/state/statefile"
	"gvisor.dev/gvisor/runsc/boot"
	"gvisor.dev/gvisor/runsc/specutils"
	"gvisor.dev/gvisor/runsc/version"

	"runsc-recover/sentry/capture"
	"runsc-recover/sentry/wire"
)

// networkKey is the metadata key of the network mode, which gVisor's boot
// package doesn't export.
const networkKey = "network"

// The files of a checkpoint request, by position.
const (
	fileKernel = iota
	filePagesMeta
	filePageIndex
	fileStaged
	fileFull // may be missing
)

// checkpoint stops the program, writes it into files and lets it run on. The
// caller keeps ownership of files.
func (a *Agent) checkpoint(take wire.TakeCheckpoint, files []*fd.FD) (*wire.CheckpointCost, *wire.Error) {
	a.captureMu.Lock()
	defer a.captureMu.Unlock()
	k := a.kernel()
	if k == nil {
		return nil, wireError(wire.CodeState, errNoKernel)
	}
	meta, err := a.metadata(k)
	if err != nil {
		return nil, wireError(wire.CodeInternal, err)
	}

	request := capture.Request{Seq: take.Seq, Parent: take.Parent, Staged: files[fileStaged].FD(), Full: -1}
	if len(files) > fileFull {
		request.Full = files[fileFull].FD()
	}
	pages, err := a.capturer.Begin(request)
	if err != nil {
		return nil, wireError(saveCode(err), err)
	}
	objects, err := newGraph(k, files[fileKernel], meta)
	if err != nil {
		return nil, wireError(saveCode(err), err)
	}
	// A collection in the pause would double it. The collector's debt is paid
	// while the program runs, and when the objects' encoding is garbage.
	a.collector.stop()
	defer a.collector.start()
	cost, failed := a.stopAndSave(k, objects, files[filePagesMeta], pages)
	if err := objects.finish(); failed == nil {
		failed = finish(err, pages, files[filePageIndex])
	}
	if failed != nil {
		a.capturer.Abandon()
		return nil, failed
	}
	cost.Tracking = a.capturer.Tracking()
	return cost, nil
}

// finish writes the index, after the objects. Its error is theirs too.
func finish(objects error, pages *capture.Capture, to *fd.FD) *wire.Error {
	index, err := pages.Finish()
	if err == nil {
		_, err = to.Write(index)
	}
	if err = errors.Join(objects, err); err != nil {
		return wireError(saveCode(err), fmt.Errorf("write the checkpoint: %w", err))
	}
	return nil
}

// stopAndSave is the program's pause.
func (a *Agent) stopAndSave(k *kernel.Kernel, objects *graph, pagesMeta *fd.FD, pages *capture.Capture) (*wire.CheckpointCost, *wire.Error) {
	a.saveMu.Lock()
	defer a.saveMu.Unlock()
	cost := &wire.CheckpointCost{TakenAt: time.Now()}
	// A stack that is being saved drops what arrives.
	network := a.networkBuffer()
	network.Hold()
	defer network.Release()
	k.Pause()
	defer k.Unpause()
	k.ReceiveTaskStates()
	stopped := time.Now()
	cost.Stop = stopped.Sub(cost.TakenAt)

	a.mu.Lock()
	failing := a.failing
	a.dropGoneLocked(k)
	a.mu.Unlock()
	if failing {
		return nil, wireError(wire.CodeFailing, errFailing)
	}

	if err := save(k, objects, pagesMeta, pages); err != nil {
		return nil, wireError(saveCode(err), err)
	}
	cost.Kernel = objects.encodedAt.Sub(stopped)
	cost.Copy = time.Since(objects.encodedAt)
	return cost, nil
}

// saveCode classifies an error of save: what isn't the files' fault is the
// program's.
func saveCode(err error) wire.Code {
	if errors.Is(err, capture.ErrFull) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EFBIG) || errors.Is(err, unix.EDQUOT) {
		return wire.CodeFull
	}
	return wire.CodeUnsavable
}

// metadata returns what gVisor's restore wants to find before the kernel.
func (a *Agent) metadata(k *kernel.Kernel) (map[string]string, error) {
	loader, ok := k.Saver().(interface {
		GetContainerSpecs() map[string]*specs.Spec
	})
	if !ok {
		return nil, errors.New("the kernel has no loader")
	}
	containers := loader.GetContainerSpecs()
	text, err := specutils.ConvertSpecsToString(containers)
	if err != nil {
		return nil, fmt.Errorf("encode the container's spec: %w", err)
	}
	a.mu.Lock()
	network := a.opts.Network
	a.mu.Unlock()
	meta := statefile.CompressionLevelNone.ToMetadata()
	meta[boot.ContainerCountKey] = fmt.Sprint(len(containers))
	meta[boot.ContainerSpecsKey] = text
	meta[boot.VersionKey] = version.Version()
	meta[networkKey] = network
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
