package agent

import (
	"errors"
	"io"

	"gvisor.dev/gvisor/pkg/fd"

	"runsc-recover/checkpoint/pageindex"
	"runsc-recover/sentry/save"
	"runsc-recover/sentry/wire"
)

// The files of a checkpoint request, by position.
const (
	fileKernel = iota
	filePagesMeta
	filePageIndex
	fileStaged
	fileFull // may be missing
)

// checkpointFiles gives the files of a checkpoint request their names.
//
// Preconditions: there are as many as wire.Request.Files says.
func checkpointFiles(files []*fd.FD) save.Files {
	f := save.Files{Kernel: files[fileKernel], PagesMeta: files[filePagesMeta], PageIndex: files[filePageIndex], Staged: files[fileStaged]}
	if len(files) > fileFull {
		f.Full = files[fileFull]
	}
	return f
}

// checkpoint serves VerbCheckpoint. The caller keeps ownership of files.
func (a *Agent) checkpoint(take wire.TakeCheckpoint, files []*fd.FD) (*wire.CheckpointCost, *wire.Error) {
	a.mu.Lock()
	r := save.Request{
		Kernel: a.k, Checkpoint: take, Files: checkpointFiles(files), NetworkMode: a.opts.Network,
		Exclusive: &a.saveMu, Network: a.networkBuffer, Stopped: a.stoppedForSave,
	}
	a.mu.Unlock()
	if r.Kernel == nil {
		return nil, wireError(wire.CodeState, errNoKernel)
	}
	cost, err := a.saver.Take(r)
	if err != nil {
		return nil, wireError(saveCode(err), err)
	}
	return cost, nil
}

// stoppedForSave forgets processes and tasks that ended, and refuses to save a
// kernel that is stopped at a failure.
//
// Preconditions: every task has stopped.
func (a *Agent) stoppedForSave() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.dropGoneLocked(a.k)
	if a.failing {
		return errFailing
	}
	return nil
}

// saveCode classifies an error of a checkpoint: where the files aren't at
// fault, the program is.
func saveCode(err error) wire.Code {
	switch {
	case errors.Is(err, errFailing):
		return wire.CodeFailing
	case errors.Is(err, save.ErrMetadata):
		return wire.CodeInternal
	case save.IsFull(err):
		return wire.CodeFull
	}
	return wire.CodeUnsavable
}

// loaded serves VerbLoaded. The program may be running.
func (a *Agent) loaded(seq uint64, f io.ReaderAt) *wire.Error {
	err := a.saver.Loaded(seq, f)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, save.ErrNotRestored):
		return wireError(wire.CodeState, err)
	case errors.Is(err, pageindex.ErrMalformed):
		return wireError(wire.CodeMalformed, err)
	}
	return wireError(wire.CodeInternal, err)
}
