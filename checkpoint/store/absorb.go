package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/pageindex"
	"runsc-recover/checkpoint/store/pagepool"
)

// copied gives staging memory back that was copied and won't be used again: a
// whole checkpoint isn't in memory twice.
func (x *stagingFiles) copied(at, pages uint64) {
	if x.parentSeq == 0 && at*pageindex.PageSize >= keptStaging {
		// Where that fails it takes room until the end of the exchange.
		_ = unix.Fallocate(int(x.staged.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, int64(at*pageindex.PageSize), int64(pages*pageindex.PageSize))
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
func (x *stagingFiles) absorb(ctx context.Context, p *pagepool.Pool, maxBytes int64) (*absorbed, error) {
	index, err := readIndex(x.index)
	if err != nil {
		return nil, err
	}
	total, staged := pageindex.Pages(index), stagedPages(index)
	if max(total, staged) > uint64(maxBytes)/pageindex.PageSize {
		return nil, fmt.Errorf("%w: memory is larger than a checkpoint may be", checkpoint.ErrFull)
	}
	if stat, err := x.staged.Stat(); err != nil || uint64(stat.Size()) < staged*pageindex.PageSize {
		return nil, fmt.Errorf("%w: %d pages aren't staged: %v", checkpoint.ErrDamaged, staged, err)
	}
	added, stored, err := p.Add(ctx, x.staged, staged, x.copied)
	if err != nil {
		return nil, err
	}
	a := &absorbed{added: added}
	a.pages = checkpoint.Pages{
		Bytes:   int64(total * pageindex.PageSize),
		Changed: int64(staged * pageindex.PageSize),
		Stored:  stored,
	}
	base := uint64(0)
	if len(added) > 0 {
		base = added[0].Page
	}
	resolved, err := pageindex.Resolve(index, x.parent, base, staged, maxRuns)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", checkpoint.ErrDamaged, err), p.Release(added))
	}
	p.Hold(resolved)
	a.index = resolved
	if x.full != nil {
		if err := p.Compare(ctx, resolved, x.full); err != nil {
			return nil, errors.Join(err, a.undo(p))
		}
	}
	return a, nil
}

// undo gives the memory of a checkpoint back that isn't published.
func (a *absorbed) undo(p *pagepool.Pool) error {
	return cmp.Or(p.Release(a.added), p.Release(a.index))
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
