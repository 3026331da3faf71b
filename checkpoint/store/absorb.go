package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/pageindex"
	"runsc-recover/checkpoint/store/pagepool"
)

// absorbed is the memory of a checkpoint that is in the pool and not published.
// The pages of index and of added are held, each by itself.
type absorbed struct {
	index []pageindex.Run // of all pages, by address
	added pageindex.Run   // of the changed ones
	pages checkpoint.Pages
}

// absorb copies the staged pages into the pool and resolves the sandbox's
// index. It can be called once for the files, since it may discard the staged
// pages. Errors: ErrDamaged when the index makes no sense, ErrMissed, ErrFull,
// ctx's.
func absorb(ctx context.Context, p *pagepool.Pool, x *stagingFiles, parent []pageindex.Run, maxBytes int64) (*absorbed, error) {
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
	a := &absorbed{added: added, pages: checkpoint.Pages{
		Bytes:   int64(total * pageindex.PageSize),
		Changed: int64(staged * pageindex.PageSize),
		Stored:  stored,
	}}
	a.index, err = pageindex.Resolve(index, parent, added.Page, staged, maxRuns)
	if err != nil {
		a.index = nil
		return nil, errors.Join(fmt.Errorf("%w: %w", checkpoint.ErrDamaged, err), a.undo(p))
	}
	p.Hold(a.index)
	if x.full != nil {
		if err := p.Compare(ctx, a.index, x.full); err != nil {
			return nil, errors.Join(err, a.undo(p))
		}
	}
	return a, nil
}

// undo releases the memory of a checkpoint that isn't to be published.
func (a *absorbed) undo(p *pagepool.Pool) error {
	return cmp.Or(a.releaseAdded(p), p.Release(a.index))
}

// releaseAdded releases the changed pages for themselves. Those that the index
// lists stay held with it.
func (a *absorbed) releaseAdded(p *pagepool.Pool) error {
	return p.Release([]pageindex.Run{a.added})
}

// stagedPages is how many pages of the staging file an index refers to, from
// the first on.
func stagedPages(index []pageindex.Run) uint64 {
	var n uint64
	for _, r := range index {
		if r.Source == pageindex.Staged {
			n = max(n, r.End())
		}
	}
	return n
}
