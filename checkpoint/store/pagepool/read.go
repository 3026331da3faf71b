package pagepool

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/cespare/xxhash/v2"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/pageindex"
	"runsc-recover/checkpoint/pageset"
)

// Verify reads all pages of an index, in the order in which they lie, and
// compares them with their hashes. The pool isn't locked meanwhile. Errors:
// ErrDamaged, ctx's.
func (p *Pool) Verify(ctx context.Context, index []pageindex.Run) error {
	p.mu.Lock()
	wanted, err := p.locateLocked(index)
	segments := slices.Collect(maps.Keys(wanted))
	p.pinLocked(segments)
	p.mu.Unlock()
	defer p.unpin(segments)
	buf := make([]byte, chunkPages*pageSize)
	for s, pages := range wanted {
		if err == nil {
			err = s.verify(ctx, pages, buf)
		}
	}
	return err
}

// locateLocked returns the pages of an index by segment. Errors: ErrDamaged.
func (p *Pool) locateLocked(index []pageindex.Run) (map[*segment]*pageset.Set, error) {
	wanted := make(map[*segment]*pageset.Set)
	for _, r := range index {
		err := p.extents.each(r, func(e extent) error {
			if wanted[e.seg] == nil {
				wanted[e.seg] = new(pageset.Set)
			}
			wanted[e.seg].Add(e.at, e.pages)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return wanted, nil
}

// pinLocked keeps the files of segments open, be they removed, until unpin.
func (p *Pool) pinLocked(segments []*segment) {
	for _, s := range segments {
		s.readers++
	}
}

// unpin undoes pinLocked.
func (p *Pool) unpin(segments []*segment) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range segments {
		if s.readers--; s.readers == 0 && s.removed {
			s.f.Close()
		}
	}
}

// read fills b with the pages of a run of addresses, from byte skip of the
// first page on.
func (p *Pool) read(b []byte, r pageindex.Run, skip uint64) error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.extents.each(r, func(e extent) error {
		n := min(e.pages*pageSize-skip, uint64(len(b)))
		if err := e.seg.read(b[:n], e.at, skip); err != nil {
			return err
		}
		b, skip = b[n:], 0
		return nil
	})
}

// readPages fills b with the pages of a run of addresses, and sums with the
// hashes that the pages should have. Errors: ErrDamaged when they have others.
func (p *Pool) readPages(b []byte, r pageindex.Run, sums []uint64) error {
	if err := p.read(b, r, 0); err != nil {
		return fmt.Errorf("%w: %w", checkpoint.ErrDamaged, err)
	}
	if err := p.sums(r, sums); err != nil {
		return err
	}
	for i, sum := range sums {
		if xxhash.Sum64(b[i*pageSize:(i+1)*pageSize]) != sum {
			return fmt.Errorf("%w: the page at address %d has another hash", checkpoint.ErrDamaged, r.Page+uint64(i))
		}
	}
	return nil
}

// sums looks up the hashes of the pages of a run of addresses.
func (p *Pool) sums(r pageindex.Run, sums []uint64) error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.extents.each(r, func(e extent) error {
		sums = sums[copy(sums, e.seg.sums[e.at:e.at+e.pages]):]
		return nil
	})
}

// has reports whether all pages of an index are in the pool.
func (p *Pool) has(index []pageindex.Run) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	for _, r := range index {
		if p.extents.each(r, func(extent) error { return nil }) != nil {
			return false
		}
	}
	return true
}
