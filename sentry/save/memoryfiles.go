package save

import (
	"errors"
	"fmt"

	"gvisor.dev/gvisor/pkg/sentry/state/stateio"

	"runsc-recover/sentry/capture"
)

// errIncomplete: the program's memory couldn't be saved, for a reason that gVisor
// doesn't tell, as its SaveTo ended by an error of ours.
var errIncomplete = errors.New("not all of the program's memory could be saved")

// metaFile receives gVisor's description of the program's memory.
type metaFile struct {
	*stateio.BufioWriteCloser
	complete bool // was closed without an error
}

// Close implements io.Closer.
func (f *metaFile) Close() error {
	err := f.BufioWriteCloser.Close()
	f.complete = err == nil
	return err
}

// memoryFiles is a pages file that knows whether all went well, whatever
// SaveTo returns. The description of the memory is complete before its last
// page is, unless gVisor gives up: then gVisor finalizes the pages first and
// closes the description after them.
type memoryFiles struct {
	*capture.Capture
	meta     *metaFile
	complete bool // was finalized without an error, after meta
}

// Finalize implements stateio.AsyncWriter. It comes after the last page.
func (f *memoryFiles) Finalize() error {
	if !f.meta.complete {
		return errIncomplete
	}
	err := f.Capture.Finalize()
	f.complete = err == nil
	return err
}

// check returns nil when all of memory is captured.
//
// Preconditions: SaveTo has returned.
func (f *memoryFiles) check() error {
	if f.complete {
		return nil
	}
	if err := f.Capture.Finalize(); err != nil {
		return fmt.Errorf("save the program's memory: %w", err)
	}
	return errIncomplete
}
