package pagepool

import (
	"cmp"
	"context"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/pageindex"
)

// Compact rewrites all segments with unreferenced pages, more thoroughly than
// the background compaction does. It returns ErrClosed when Close ends it.
// Other errors: ErrDamaged when a segment can't be read, which is left alone
// from then on; the operating system's; ctx's.
func (p *Pool) Compact(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(p.compactor.ctx, func() { cancel(checkpoint.ErrClosed) })()
	for {
		moved, err := p.compactOnce(ctx, true)
		if err != nil || !moved {
			return err
		}
	}
}

// compactOnce rewrites some segments into one, if that is worth it, and reports
// whether it was. The new segment is committed before the old ones are removed:
// after a crash in between, the newer counts.
func (p *Pool) compactOnce(ctx context.Context, thorough bool) (bool, error) {
	p.compacting.Lock()
	defer p.compacting.Unlock()
	chosen, moves := p.plan(thorough)
	if len(chosen) == 0 {
		return false, nil
	}
	defer p.unpin(chosen)
	var addresses []pageindex.Run
	for _, m := range moves {
		addresses = pageindex.Append(addresses, pageindex.Run{Page: m.address, Pages: m.pages})
	}
	var s *segment
	var err error
	p.thread.Do(func() {
		s, err = p.newSegment(addresses, func(w *segmentWriter) error {
			unreadable, err := w.move(ctx, moves)
			if unreadable != nil {
				p.setStuck(unreadable)
			}
			return err
		})
	})
	if err != nil {
		p.abandon(chosen)
		return false, fmt.Errorf("compact segments: %w", err)
	}
	return true, p.replace(chosen, s, moves, addresses)
}

// plan chooses segments, which it pins, and returns the extents of their
// referenced pages, by address.
func (p *Pool) plan(thorough bool) (chosen []*segment, moves []extent) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var candidates []*segment
	var uses []segmentUse
	for _, s := range p.segments {
		if !s.stuck {
			candidates = append(candidates, s)
			uses = append(uses, segmentUse{s.taken(), s.liveBytes(), uint64(len(s.sums)), s.live})
		}
	}
	isChosen := make(map[*segment]bool)
	for _, i := range choose(uses, thorough) {
		isChosen[candidates[i]], candidates[i].moving = true, true
		chosen = append(chosen, candidates[i])
	}
	for _, e := range p.extents {
		if isChosen[e.seg] {
			moves = append(moves, e.referenced()...)
		}
	}
	p.pinLocked(chosen)
	return chosen, moves
}

// referenced returns the parts of an extent whose pages are referenced.
func (e extent) referenced() []extent {
	var out []extent
	for i := range e.pages {
		if e.seg.refs[e.at+i] == 0 {
			continue
		}
		if n := len(out); n > 0 && out[n-1].end() == e.address+i {
			out[n-1].pages++
		} else {
			out = append(out, extent{e.address + i, 1, e.seg, e.at + i})
		}
	}
	return out
}

// move appends pages of other segments with the hashes that the pages have
// there: a damaged page isn't made to look sound. It returns the segment that
// can't be read.
func (w *segmentWriter) move(ctx context.Context, moves []extent) (*segment, error) {
	buf := make([]byte, chunkPages*pageSize)
	for _, m := range moves {
		for m.pages > 0 {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			n := min(m.pages, chunkPages)
			b, sums := buf[:n*pageSize], m.seg.sums[m.at:m.at+n]
			if err := m.seg.read(b, m.at, 0); err != nil {
				return m.seg, err
			}
			for i, sum := range sums {
				if xxhash.Sum64(b[i*pageSize:(i+1)*pageSize]) != sum {
					return m.seg, fmt.Errorf("%w: page %d of segment %d", checkpoint.ErrDamaged, m.at+uint64(i), m.seg.id)
				}
			}
			w.sums = append(w.sums, sums...)
			if err := w.append(b); err != nil {
				return nil, err
			}
			m.at, m.pages = m.at+n, m.pages-n
		}
	}
	return nil, nil
}

// abandon gives up rewriting segments. Holes that can't be made now are made at
// the next open.
func (p *Pool) abandon(chosen []*segment) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range chosen {
		s.moving = false
		_ = s.punchDead()
	}
}

func (p *Pool) setStuck(s *segment) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.stuck = true
}

// replace puts a segment in the place of those whose pages were moved into it.
// Pages that lost their last reference meanwhile have none there either.
func (p *Pool) replace(chosen []*segment, s *segment, moves []extent, addresses []pageindex.Run) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := uint64(0)
	for _, m := range moves {
		copy(s.refs[at:], m.seg.refs[m.at:m.at+m.pages])
		at += m.pages
	}
	for _, n := range s.refs {
		if n > 0 {
			s.live++
		}
	}
	var firstErr error
	for _, old := range chosen {
		old.moving = false
		firstErr = cmp.Or(firstErr, p.removeLocked(old))
	}
	p.dropRemovedLocked()
	p.adoptLocked(s, addresses)
	return cmp.Or(firstErr, s.punchDead(), p.sweepLocked())
}
