package pagepool

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/pageindex"
	"runsc-recover/checkpoint/store/diskfs"
	"runsc-recover/test/expect"
)

// firsts is an index of the first page of each run.
func firsts(runs []pageindex.Run) (index []pageindex.Run) {
	for _, r := range runs {
		index = append(index, pageindex.Run{Page: r.Page, Pages: 1})
	}
	return index
}

// addSegments adds segments of three pages each, of which only the first stays.
func addSegments(t *testing.T, p *Pool, n uint64) (index []pageindex.Run, numbers []uint64) {
	t.Helper()
	var runs []pageindex.Run
	for i := range n {
		runs = append(runs, add(t, p, 10*i, 10*i+1, 10*i+2))
		numbers = append(numbers, 10*i)
	}
	index = firsts(runs)
	p.Hold(index)
	release(t, p, runs...)
	return index, numbers
}

// A thorough compaction leaves no unreferenced page, and all others as they
// were at their addresses.
func TestCompact(t *testing.T) {
	eachPool(t, func(t *testing.T, p *Pool) {
		index, numbers := addSegments(t, p, 5)
		if err := p.Compact(t.Context()); err != nil {
			t.Fatal(err)
		}
		all, live := pages(p)
		expect.Equal(t, "pages", all, 5)
		expect.Equal(t, "live pages", live, 5)
		expect.Equal(t, "segments", len(p.Segments()), 1)
		slices.Reverse(index)
		slices.Reverse(numbers)
		expectContents(t, p, index, numbers...)
		release(t, p, index...)
		expect.Equal(t, "segments in the end", len(p.Segments()), 0)
	})
}

// Compaction in the background merges many small segments.
func TestCompactSoon(t *testing.T) {
	eachPool(t, func(t *testing.T, p *Pool) {
		index, numbers := addSegments(t, p, maxSegments+10)
		p.CompactSoon()
		p.compactor.work.Wait()
		if n := len(p.Segments()); n > maxSegments {
			t.Errorf("%d segments are left", n)
		}
		expectContents(t, p, index, numbers...)
	})
}

// A page that is damaged when its segment is to be moved stays where it is, as
// damaged as it was, and doesn't keep others from being moved later.
func TestCompactionKeepsDamage(t *testing.T) {
	eachPool(t, func(t *testing.T, p *Pool) {
		index, _ := addSegments(t, p, 4)
		damage(t, p, index[1].Page)
		err := p.Compact(t.Context())
		expect.Equal(t, "damage is reported", errors.Is(err, checkpoint.ErrDamaged), true)
		expect.Equal(t, "error of the second compaction", p.Compact(t.Context()), nil)
		stuck := 0
		for _, s := range p.Segments() {
			if s.Stuck {
				stuck++
			}
		}
		expect.Equal(t, "stuck segments", stuck, 1)
		expect.Equal(t, "segments", len(p.Segments()), 2)
		err = p.Verify(t.Context(), index[1:2])
		expect.Equal(t, "damage stays", errors.Is(err, checkpoint.ErrDamaged), true)
		expectContents(t, p, []pageindex.Run{index[0], index[2], index[3]}, 0, 20, 30)
	})
}

// A page that is released while its segment is being moved is gone in the new
// one, and a reader of an old segment goes on.
func TestReleaseWhileMoving(t *testing.T) {
	eachPool(t, func(t *testing.T, p *Pool) {
		index, _ := addSegments(t, p, 3)
		p.compacting.Lock()
		chosen, moves := p.plan(true)
		expect.Equal(t, "chosen", len(chosen), 3)
		expect.Equal(t, "moves", len(moves), 3)
		release(t, p, index[1])
		var addresses []pageindex.Run
		for _, m := range moves {
			addresses = pageindex.Append(addresses, pageindex.Run{Page: m.address, Pages: m.pages})
		}
		s, err := p.newSegment(addresses, func(w *segmentWriter) error {
			_, err := w.move(context.Background(), moves)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.replace(chosen, s, moves, addresses); err != nil {
			t.Fatal(err)
		}
		if err := chosen[0].read(make([]byte, pageSize), 0, 0); err != nil {
			t.Errorf("read a segment that was moved: %v", err)
		}
		p.unpin(chosen)
		p.compacting.Unlock()
		expectContents(t, p, []pageindex.Run{index[0], index[2]}, 0, 20)
		all, live := pages(p)
		expect.Equal(t, "pages", fmt.Sprint(all, live), "3 2")
	})
}

// A compaction that fails leaves all as it was, and can be tried again.
func TestCompactionFailsAtEveryStep(t *testing.T) {
	for failAt := 1; ; failAt++ {
		d := newTestDisk(t)
		fs := &failingFS{}
		d.fs = fs
		p := d.open(t)
		index, numbers := addSegments(t, p, 3)
		fs.step, fs.failAt = 0, failAt
		err := p.Compact(t.Context())
		fs.failAt = 0
		expectContents(t, p, index, numbers...)
		if err == nil {
			p.Close()
			if failAt < 5 {
				t.Errorf("compaction has only %d steps", failAt-1)
			}
			return
		}
		expect.Equal(t, "error", errors.Is(err, unix.EIO), true)
		expect.Equal(t, "files", len(d.entries(t)), 3)
		expect.Equal(t, "second try", p.Compact(t.Context()), nil)
		expectContents(t, p, index, numbers...)
		expect.Equal(t, "files", len(d.entries(t)), 1)
		p.Close()
	}
}

// Where a crash leaves a page in two segments, the newer counts and the older
// goes.
func TestCrashBetweenCommitAndRemove(t *testing.T) {
	d := newTestDisk(t)
	p := d.open(t)
	index, numbers := addSegments(t, p, 3)
	copies := &keepingFS{}
	d.fs = copies
	p.backing.(*diskBacking).fs = copies
	if err := p.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.Close()
	expect.Equal(t, "files after the crash", len(d.entries(t)), 4)
	d.fs = diskfs.Host{}
	p = d.open(t)
	defer p.Close()
	p.Hold(index)
	expect.Equal(t, "error", p.Trim(), nil)
	expect.Equal(t, "segments", len(p.Segments()), 1)
	expectContents(t, p, index, numbers...)
}

// keepingFS removes nothing, as if the process had died before.
type keepingFS struct{ failingFS }

func (*keepingFS) RemoveAll(string) error { return nil }

// Compaction that Close meets ends, by itself or with ErrClosed.
func TestCloseEndsCompaction(t *testing.T) {
	p := NewMemory()
	addSegments(t, p, 3)
	p.Close()
	err := p.Compact(t.Context())
	expect.Equal(t, "error", err == nil || errors.Is(err, checkpoint.ErrClosed), true)
}

// life is a random life of a pool, with the indexes that are held and the
// contents that they should have.
type life struct {
	pool   *Pool
	reopen func() *Pool // nil for a pool that keeps nothing when it is closed
	random *rand.Rand
	held   []heldPages
}

type heldPages struct {
	index   []pageindex.Run
	numbers []uint64
}

func (l *life) step(t *testing.T) {
	t.Helper()
	switch {
	case len(l.held) == 0 || l.random.IntN(3) > 0:
		l.add(t)
	case l.random.IntN(4) == 0:
		if err := l.pool.Compact(t.Context()); err != nil {
			t.Fatal(err)
		}
	case l.random.IntN(6) == 0 && l.reopen != nil:
		l.pool.Close()
		l.pool = l.reopen()
		for _, h := range l.held {
			l.pool.Hold(h.index)
		}
		if err := l.pool.Trim(); err != nil {
			t.Fatal(err)
		}
	default:
		i := l.random.IntN(len(l.held))
		release(t, l.pool, l.held[i].index...)
		l.held = slices.Delete(l.held, i, i+1)
	}
	if l.random.IntN(10) == 0 {
		l.pool.CompactSoon()
	}
}

// add adds pages and shares one of others.
func (l *life) add(t *testing.T) {
	t.Helper()
	var h heldPages
	for range 1 + l.random.IntN(30) {
		h.numbers = append(h.numbers, l.random.Uint64())
	}
	h.index = []pageindex.Run{add(t, l.pool, h.numbers...)}
	if len(l.held) > 0 {
		from := l.held[l.random.IntN(len(l.held))]
		shared := pageindex.Run{Page: from.index[0].Page, Pages: 1}
		l.pool.Hold([]pageindex.Run{shared})
		h.index, h.numbers = append(h.index, shared), append(h.numbers, from.numbers[0])
	}
	l.held = append(l.held, h)
}

// referenced is the number of different pages that are held.
func (l *life) referenced() int {
	addresses := make(map[uint64]bool)
	for _, h := range l.held {
		for _, r := range h.index {
			for i := range r.Pages {
				addresses[r.Page+i] = true
			}
		}
	}
	return len(addresses)
}

// A pool has the pages that are held, as they were added, whatever happens to
// it.
func TestRandomLife(t *testing.T) {
	d := newTestDisk(t)
	for name, l := range map[string]*life{
		"memory": {pool: NewMemory()},
		"disk":   {pool: d.open(t), reopen: func() *Pool { return d.open(t) }},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() { l.pool.Close() }()
			l.random = rand.New(rand.NewPCG(5, 6))
			for range 150 {
				l.step(t)
			}
			for _, h := range l.held {
				expectContents(t, l.pool, h.index, h.numbers...)
			}
			_, live := pages(l.pool)
			expect.Equal(t, "live pages", live, l.referenced())
		})
	}
}
