package capture

import (
	"runsc-recover/checkpoint/pageset"
)

// Tracker knows which pages of memory files nobody can have written. Files are
// named by their inode.
type Tracker interface {
	// Watch adds to changed the pages of a file, of the given size in bytes,
	// that may have changed since the last call for it, and begins to watch
	// them anew. Nothing writes to the file until its pages are captured. What
	// is returned is valid until then.
	Watch(file uint64, fd int, size uint64, changed *pageset.Set) Watch
	// Begin is Watch for a file that is in use and of which nothing is asked
	// yet: what is written once it has been viewed, the next Watch reports.
	Begin(file uint64, fd int, size uint64) Watch
	// Forget is told that a file is gone.
	Forget(file uint64)
	// Name is what the operator sees.
	Name() string
}

// Watch is a file that is being captured.
type Watch interface {
	// View returns where to read the bytes that the sentry has mapped as b,
	// from offset on, so that they are watched from now on.
	View(offset uint64, b []byte) []byte
}
