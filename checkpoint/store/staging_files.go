package store

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/memfile"
	"runsc-recover/checkpoint/pageindex"
)

// keptStaging is how much of the memory that pages were staged in is kept for
// the next checkpoint, beyond twice the changed pages of this one.
const keptStaging = 16 << 20

// stagingFiles are the files in memory through which a store and the sandbox
// exchange pages while a checkpoint is taken. The sandbox may hold the
// descriptors, and write, for ever: all contents are copied before they count.
type stagingFiles struct {
	index  *os.File // pageindex, of staged pages and of the parent's
	staged *os.File
	full   *os.File // nil unless memory is compared
	whole  bool     // the checkpoint has no parent
}

// spareMemory is the memory of an earlier staging, kept for the next: copying
// into memory that was touched before takes a fraction of the time.
type spareMemory struct {
	staged, full *os.File
}

// discard gives the memory back, though a sandbox that is done with it still
// has it mapped.
func (s *spareMemory) discard() {
	for _, f := range []*os.File{s.staged, s.full} {
		if f != nil {
			_ = f.Truncate(0)
			f.Close()
		}
	}
	*s = spareMemory{}
}

// newStagingFiles takes ownership of spare memory and makes the files that are
// missing.
func newStagingFiles(spare *spareMemory, compare, whole bool) (*stagingFiles, error) {
	x := &stagingFiles{staged: spare.staged, full: spare.full, whole: whole}
	*spare = spareMemory{}
	var err error
	open := func(f **os.File, name checkpoint.FileName) {
		if *f == nil && err == nil {
			*f, err = memfile.New(string(name))
		}
	}
	open(&x.index, checkpoint.FilePageIndex)
	open(&x.staged, checkpoint.FileStaged)
	if compare {
		open(&x.full, checkpoint.FileFull)
	}
	if err != nil {
		x.close()
		return nil, err
	}
	return x, nil
}

func (x *stagingFiles) get(name checkpoint.FileName) *os.File {
	switch name {
	case checkpoint.FilePageIndex:
		return x.index
	case checkpoint.FileStaged:
		return x.staged
	case checkpoint.FileFull:
		return x.full
	}
	return nil
}

// close closes the files that are there. Their memory isn't kept: the sandbox
// may still be writing to it.
func (x *stagingFiles) close() error {
	var errs []error
	for _, f := range []**os.File{&x.index, &x.staged, &x.full} {
		if *f != nil {
			errs = append(errs, (*f).Close())
			*f = nil
		}
	}
	return errors.Join(errs...)
}

// takeSpare takes out the memory, with which the sandbox is done, cut to the
// likely need of the next checkpoint. changed is the bytes of this one's changed
// pages; after a whole checkpoint they say nothing of the next.
func (x *stagingFiles) takeSpare(changed int64) spareMemory {
	s := spareMemory{staged: x.staged, full: x.full}
	x.staged, x.full = nil, nil
	keep := int64(keptStaging)
	if !x.whole {
		keep += 2 * changed
	}
	stat, err := s.staged.Stat()
	if err == nil && stat.Size() > keep {
		err = s.staged.Truncate(keep)
	}
	if err != nil {
		s.discard()
	}
	return s
}

// copied gives back staging memory that was copied into the pool and won't be
// kept: a whole checkpoint isn't in memory twice.
func (x *stagingFiles) copied(at, pages uint64) {
	if x.whole && at*pageindex.PageSize >= keptStaging {
		// Where that fails the memory lasts until the end of the staging.
		_ = unix.Fallocate(int(x.staged.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE,
			int64(at*pageindex.PageSize), int64(pages*pageindex.PageSize))
	}
}
