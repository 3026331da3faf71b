package pagepool

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/cespare/xxhash/v2"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/pageindex"
)

// Compaction keeps the room that segments take within spaceFactor times of
// what is referred to, and spaceSlack, and their number within maxSegments and
// twice the number that would be needed if all were full.
const (
	spaceFactor = 1.5
	spaceSlack  = 16 << 20
	maxSegments = 64
)

// segmentUse is what the decision about compaction knows of a segment.
type segmentUse struct {
	taken, live     int64  // bytes that it takes, and that are referred to
	pages, livePage uint64 // all of them, and those that are referred to
}

// waste is the share of what the segment takes that nobody refers to.
func (u segmentUse) waste() float64 { return 1 - float64(u.live)/float64(max(u.taken, 1)) }

// worthMoving says which segments to rewrite into one: those that waste most
// when too much is wasted, else the smallest when there are too many; none
// when it isn't worth it. With thorough whatever has dead pages is rewritten.
// What is moved at once fits into one segment.
func worthMoving(all []segmentUse, thorough bool) []int {
	var taken, live int64
	var livePages uint64
	for _, u := range all {
		taken, live, livePages = taken+u.taken, live+u.live, livePages+u.livePage
	}
	order := make([]int, len(all))
	for i := range order {
		order[i] = i
	}
	most := int(maxSegments + 2*livePages/segmentPages)
	switch {
	case thorough:
		order = slices.DeleteFunc(order, func(i int) bool { return all[i].livePage == all[i].pages })
	case float64(taken) > spaceFactor*float64(live)+spaceSlack:
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(all[b].waste(), all[a].waste()) })
		order = slices.DeleteFunc(order, func(i int) bool { return all[i].waste() < 0.25 })
	case len(all) > most:
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(all[a].livePage, all[b].livePage) })
		order = order[:len(all)-most/2]
	default:
		return nil
	}
	sum := uint64(0)
	for n, i := range order {
		if sum += all[i].livePage; sum > segmentPages {
			return order[:n]
		}
	}
	return order
}

// compactOnce rewrites some segments into one, if that is worth it, and reports
// whether it was.
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
			culprit, err := w.move(ctx, moves)
			if culprit != nil {
				p.setStuck(culprit)
			}
			return err
		})
	})
	if err != nil {
		p.leave(chosen)
		return false, fmt.Errorf("compact segments: %w", err)
	}
	return true, p.replace(chosen, s, moves, addresses)
}

// plan chooses segments, which it pins, and says where their pages are that
// somebody refers to, by address.
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
	which := make(map[*segment]bool)
	for _, i := range worthMoving(uses, thorough) {
		which[candidates[i]], candidates[i].moving = true, true
		chosen = append(chosen, candidates[i])
	}
	for _, pl := range p.extents {
		if which[pl.seg] {
			moves = append(moves, pl.live()...)
		}
	}
	p.pinLocked(chosen)
	return chosen, moves
}

// live returns the parts of a place that somebody refers to.
func (pl extent) live() []extent {
	var out []extent
	for i := range pl.pages {
		if pl.seg.refs[pl.at+i] == 0 {
			continue
		}
		if n := len(out); n > 0 && out[n-1].address+out[n-1].pages == pl.address+i {
			out[n-1].pages++
		} else {
			out = append(out, extent{pl.address + i, 1, pl.seg, pl.at + i})
		}
	}
	return out
}

// move appends pages of other segments with the hashes that they have there:
// what is damaged stays damaged. It returns the segment that can't be read.
func (w *segmentWriter) move(ctx context.Context, moves []extent) (*segment, error) {
	buf := make([]byte, chunkPages*pageSize)
	for _, m := range moves {
		for m.pages > 0 {
			if err := ctx.Err(); err != nil {
				return nil, err
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

// leave gives up rewriting segments. Holes that can't be made now are at the
// next open.
func (p *Pool) leave(chosen []*segment) {
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

// replace puts a segment in the place of those that were moved into it. What
// lost its last reference meanwhile has none there either.
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
	p.segments = slices.DeleteFunc(p.segments, func(s *segment) bool { return s.removed })
	p.extents = slices.DeleteFunc(p.extents, func(pl extent) bool { return pl.seg.removed })
	p.adoptLocked(s, addresses)
	return cmp.Or(firstErr, s.punchDead(), p.sweepLocked())
}

// CompactSoon says that pages were released: compaction looks whether it is
// worth it.
func (p *Pool) CompactSoon() { p.compactor.wake() }

// Compact rewrites all segments with dead pages.
func (p *Pool) Compact(ctx context.Context) error {
	for {
		moved, err := p.compactOnce(ctx, true)
		if err != nil || !moved {
			return err
		}
	}
}

// compactor compacts a pool in the background.
type compactor struct {
	pool   *Pool
	ctx    context.Context
	cancel context.CancelFunc
	mu     sync.Mutex
	awake  bool // a goroutine is at work
	again  bool // it has to look once more
	work   sync.WaitGroup
}

func newCompactor(p *Pool) *compactor {
	c := &compactor{pool: p}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// wake says that the pool has changed.
func (c *compactor) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.again = true
	if c.awake || c.ctx.Err() != nil {
		return
	}
	c.awake = true
	c.work.Go(func() {
		for c.more() {
			// What can't be done now is tried after the next change.
			for moved, err := true, error(nil); moved && err == nil; {
				moved, err = c.pool.compactOnce(c.ctx, false)
			}
		}
	})
}

func (c *compactor) more() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.awake = c.again && c.ctx.Err() == nil
	c.again = false
	return c.awake
}

// stop returns when nothing is at work any more.
func (c *compactor) stop() {
	c.mu.Lock()
	c.cancel()
	c.mu.Unlock()
	c.work.Wait()
}
