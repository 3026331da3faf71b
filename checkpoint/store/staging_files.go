package store

import (
	"errors"
	"os"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/memfile"
	"runsc-recover/checkpoint/pageindex"
)

// keptStaging is how much of the memory that pages were staged in is kept for
// the next checkpoint, beyond twice what this one needed.
const keptStaging = 16 << 20

// stagingFiles is what passes between a store and the sandbox while a checkpoint
// is taken. The sandbox may hold the descriptors, and write, for ever: all is
// copied before it counts.
type stagingFiles struct {
	index  *os.File // pageindex, of what is staged and what is the parent's
	staged *os.File
	full   *os.File // nil unless memory is compared
	// parent is held in the pool.
	parentSeq checkpoint.Seq
	parent    []pageindex.Run
}

// spareMemory is memory that was used in an exchange, for the next one: to copy into
// memory that was touched before takes a fraction of the time.
type spareMemory struct {
	staged, full *os.File
}

// close gives the memory back, even if a sandbox that isn't using it any more
// still has it mapped.
func (s *spareMemory) close() {
	for _, f := range []*os.File{s.staged, s.full} {
		if f != nil {
			_ = f.Truncate(0)
			f.Close()
		}
	}
	*s = spareMemory{}
}

// newStagingFiles takes ownership of what is in spares.
func newStagingFiles(s *spareMemory, compare bool) (*stagingFiles, error) {
	x := &stagingFiles{staged: s.staged, full: s.full}
	*s = spareMemory{}
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

// close closes the files that are there. The staging memory isn't used again:
// the sandbox may still be writing.
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

// takeSpare takes the memory out of an exchange that the sandbox is done with, cut
// to what the next checkpoint is likely to need: after a whole one, little.
func (x *stagingFiles) takeSpare(used int64) spareMemory {
	s := spareMemory{staged: x.staged, full: x.full}
	x.staged, x.full = nil, nil
	keep := int64(keptStaging)
	if x.parentSeq != 0 {
		keep += 2 * used
	}
	stat, err := s.staged.Stat()
	if err == nil && stat.Size() > keep {
		err = s.staged.Truncate(keep)
	}
	if err != nil {
		s.close()
	}
	return s
}
