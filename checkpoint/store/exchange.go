package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/memfile"
	"runsc-recover/checkpoint/pageindex"
)

const (
	// maxIndex and maxRuns bound an index, in bytes and in runs: 16 GiB of
	// which every other page changed.
	maxIndex = 16 << 20
	maxRuns  = 4 << 20
	// keptStaging is how much of the memory that pages were staged in is kept
	// for the next checkpoint, beyond twice what this one needed.
	keptStaging = 16 << 20
)

// exchange is what passes between a store and the sandbox while a checkpoint
// is taken. The sandbox may hold the descriptors, and write, for ever: all is
// copied before it counts.
type exchange struct {
	index  *os.File // pageindex, of what is staged and what is the parent's
	staged *os.File
	full   *os.File // nil unless memory is compared
	// parent is held in the pool.
	parentSeq checkpoint.Seq
	parent    []pageindex.Run
}

// spares is memory that was used in an exchange, for the next one: to copy into
// memory that was touched before takes a fraction of the time.
type spares struct {
	staged, full *os.File
}

// close gives the memory back, even if a sandbox that isn't using it any more
// still has it mapped.
func (s *spares) close() {
	for _, f := range []*os.File{s.staged, s.full} {
		if f != nil {
			_ = f.Truncate(0)
			f.Close()
		}
	}
	*s = spares{}
}

// newExchange takes ownership of what is in spares.
func newExchange(s *spares, compare bool) (*exchange, error) {
	x := &exchange{staged: s.staged, full: s.full}
	*s = spares{}
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

func (x *exchange) get(name checkpoint.FileName) *os.File {
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
func (x *exchange) close() error {
	var errs []error
	for _, f := range []**os.File{&x.index, &x.staged, &x.full} {
		if *f != nil {
			errs = append(errs, (*f).Close())
			*f = nil
		}
	}
	return errors.Join(errs...)
}

// spare takes the memory out of an exchange that the sandbox is done with, cut
// to what the next checkpoint is likely to need: after a whole one, little.
func (x *exchange) spare(used int64) spares {
	s := spares{staged: x.staged, full: x.full}
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

// read decodes the sandbox's index. Errors: ErrDamaged.
func (x *exchange) read() ([]pageindex.Run, error) {
	stat, err := x.index.Stat()
	if err != nil {
		return nil, fmt.Errorf("measure the page index: %w", err)
	}
	if stat.Size() > maxIndex {
		return nil, fmt.Errorf("%w: page index of %d bytes", checkpoint.ErrDamaged, stat.Size())
	}
	b := make([]byte, stat.Size())
	if _, err := x.index.ReadAt(b, 0); err != nil && err != io.EOF {
		return nil, fmt.Errorf("read the page index: %w", err)
	}
	index, err := pageindex.Decode(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", checkpoint.ErrDamaged, err)
	}
	return index, nil
}

// copied gives staging memory back that was copied and won't be used again: a
// whole checkpoint isn't in memory twice.
func (x *exchange) copied(at, pages uint64) {
	if x.parentSeq == 0 && at*pageSize >= keptStaging {
		// Where that fails it takes room until the end of the exchange.
		_ = unix.Fallocate(int(x.staged.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, int64(at*pageSize), int64(pages*pageSize))
	}
}

// absorbed is the memory of a checkpoint that the store has but nobody sees.
// Both its runs are held.
type absorbed struct {
	index []pageindex.Run
	added []pageindex.Run
	pages checkpoint.Pages
}

// absorb copies what was staged into the pool, and can do so once. Errors: ErrDamaged, ErrMissed,
// ErrFull.
func (p *pool) absorb(ctx context.Context, x *exchange, maxBytes int64) (*absorbed, error) {
	index, err := x.read()
	if err != nil {
		return nil, err
	}
	total, staged := pageindex.Pages(index), stagedPages(index)
	if max(total, staged) > uint64(maxBytes)/pageSize {
		return nil, fmt.Errorf("%w: memory is larger than a checkpoint may be", checkpoint.ErrFull)
	}
	if stat, err := x.staged.Stat(); err != nil || uint64(stat.Size()) < staged*pageSize {
		return nil, fmt.Errorf("%w: %d pages aren't staged: %v", checkpoint.ErrDamaged, staged, err)
	}
	added, stored, err := p.add(ctx, x.staged, staged, x.copied)
	if err != nil {
		return nil, err
	}
	a := &absorbed{added: added}
	a.pages = checkpoint.Pages{
		Bytes:   int64(total * pageSize),
		Changed: int64(staged * pageSize),
		Stored:  stored,
	}
	base := uint64(0)
	if len(added) > 0 {
		base = added[0].Page
	}
	resolved, err := pageindex.Resolve(index, x.parent, base, staged, maxRuns)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", checkpoint.ErrDamaged, err), p.release(added))
	}
	p.hold(resolved)
	a.index = resolved
	if x.full != nil {
		if err := p.compare(ctx, resolved, x.full); err != nil {
			return nil, errors.Join(err, a.undo(p))
		}
	}
	return a, nil
}

// undo gives the memory of a checkpoint back that isn't published.
func (a *absorbed) undo(p *pool) error {
	return cmp.Or(p.release(a.added), p.release(a.index))
}

// stagedPages is how many pages of the staging file an index speaks of.
func stagedPages(index []pageindex.Run) uint64 {
	var n uint64
	for _, r := range index {
		if r.Source == pageindex.Staged {
			n = max(n, r.End())
		}
	}
	return n
}

// writeIndex writes a store's index into an empty file.
func writeIndex(f *os.File, index []pageindex.Run) error {
	_, err := f.WriteAt(pageindex.AppendTo(nil, index), 0)
	return err
}

// readIndex is the inverse of writeIndex. Errors: ErrDamaged.
func readIndex(f *os.File) ([]pageindex.Run, error) {
	x := exchange{index: f}
	return x.read()
}
