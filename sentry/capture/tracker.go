package capture

import (
	"runsc-recover/checkpoint/pageset"
)

// Tracker knows which pages of memory files may have been written. Files are
// named by their inode.
type Tracker interface {
	// Watch adds to changed the pages of a file, of the given size in bytes,
	// that may have changed since the last call for it, and begins to watch
	// them anew. The file isn't written to until its pages are captured, and
	// the result is valid until then.
	Watch(file uint64, fd int, size uint64, changed *pageset.Set) Watch
	// Begin is the first Watch for a file that is in use: the next one reports
	// each page that is written after it has been viewed.
	Begin(file uint64, fd int) Watch
	// Forget is told that a file is gone.
	Forget(file uint64)
	// Name is the name of this way of tracking, for the operator.
	Name() string
}

// Watch is a file that is being captured.
type Watch interface {
	// View returns where to read the bytes that the sentry has mapped as b,
	// from offset on, so that they are watched from now on.
	View(offset uint64, b []byte) []byte
}
