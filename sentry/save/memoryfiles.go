package save

import (
	"errors"
	"fmt"

	"gvisor.dev/gvisor/pkg/sentry/state/stateio"

	"runsc-recover/sentry/capture"
)

// errIncomplete: gVisor didn't say how it failed to save the program's memory,
// as its SaveTo ended by an error of ours.
var errIncomplete = errors.New("not all of the program's memory could be saved")

// metaFile receives what gVisor knows of the program's memory.
type metaFile struct {
	*stateio.BufioWriteCloser
	complete bool
}

// Close implements io.Closer.
func (f *metaFile) Close() error {
	err := f.BufioWriteCloser.Close()
	f.complete = err == nil
	return err
}

// memoryFiles is a pages file that knows whether all went well, whatever
// SaveTo returns. What is known of the memory is complete before the last page
// is, unless gVisor gives up: then it says that there are no more pages, and
// closes the other file after that.
type memoryFiles struct {
	*capture.Capture
	meta     *metaFile
	complete bool
}

// Finalize implements stateio.AsyncWriter. gVisor calls it after the last page.
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
