package storetest

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cespare/xxhash/v2"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/pageindex"
)

const pageSize = pageindex.PageSize

// guestFiles are the files of a checkpoint that the sandbox writes as they
// are.
var guestFiles = []checkpoint.FileName{checkpoint.FileKernel, checkpoint.FilePagesMeta}

// memory is a program's pages, a number for the contents of each. Odd numbers
// stand for pages that can't be compressed.
type memory []uint64

func (m memory) bytes() []byte {
	b := make([]byte, 0, len(m)*pageSize)
	for _, n := range m {
		random := rand.New(rand.NewPCG(n, 0))
		for range pageSize / 8 {
			if n%2 == 1 {
				b = binary.LittleEndian.AppendUint64(b, random.Uint64())
			} else {
				b = binary.LittleEndian.AppendUint64(b, n)
			}
		}
	}
	return b
}

// diff returns the index and the staged pages that a sandbox hands out for m when
// it knows parent.
func (m memory) diff(parent memory) (index []pageindex.Run, staged memory) {
	where := make(map[uint64]int)
	for i, n := range parent {
		where[n] = i
	}
	for _, n := range m {
		if i, ok := where[n]; ok {
			index = pageindex.Append(index, pageindex.Run{Source: pageindex.Parent, Page: uint64(i), Pages: 1})
			continue
		}
		index = pageindex.Append(index, pageindex.Run{Source: pageindex.Staged, Page: uint64(len(staged)), Pages: 1})
		staged = append(staged, n)
	}
	return index, staged
}

// stageMemory stages a checkpoint of m, relative to parent.
func stageMemory(t *testing.T, s checkpoint.Store, seq, parent checkpoint.Seq, old, m memory) checkpoint.Staging {
	t.Helper()
	st, err := s.Stage(context.Background(), parent)
	if err != nil {
		t.Fatalf("stage: %v", err)
	}
	if st.Parent() != parent {
		t.Fatalf("staged over %d instead of %d", st.Parent(), parent)
	}
	for _, name := range checkpoint.FileNames {
		if stat, err := st.File(name).Stat(); err != nil || stat.Size() != 0 {
			t.Fatalf("%s is not empty when staged: %v, %v", name, stat, err)
		}
	}
	index, staged := m.diff(old)
	write(t, st, checkpoint.FilePageIndex, pageindex.AppendTo(nil, index))
	write(t, st, checkpoint.FileStaged, staged.bytes())
	for _, name := range guestFiles {
		write(t, st, name, content(seq, name))
	}
	if f := st.File(checkpoint.FileFull); f != nil {
		if err := f.Truncate(0); err != nil {
			t.Fatal(err)
		}
		write(t, st, checkpoint.FileFull, m.bytes())
	}
	return st
}

func write(t *testing.T, st checkpoint.Staging, name checkpoint.FileName, b []byte) {
	t.Helper()
	if _, err := st.File(name).WriteAt(b, 0); err != nil {
		t.Fatalf("write %s: %v", name, err)
	}
}

// publishMemory publishes a checkpoint of m, relative to parent.
func publishMemory(t *testing.T, s checkpoint.Store, seq, parent checkpoint.Seq, old, m memory) checkpoint.Manifest {
	t.Helper()
	st := stageMemory(t, s, seq, parent, old, m)
	done, err := st.Publish(context.Background(), manifest(seq))
	if err != nil {
		t.Fatalf("publish %d: %v", seq, err)
	}
	return done
}

func expectMemory(t *testing.T, img checkpoint.Image, want memory) {
	t.Helper()
	pages := img.Pages()
	if pages.Size() != int64(len(want)*pageSize) {
		t.Errorf("pages of %d have %d bytes, not %d", img.Manifest().Seq, pages.Size(), len(want)*pageSize)
		return
	}
	got, err := io.ReadAll(io.NewSectionReader(pages, 0, pages.Size()))
	if err != nil || !bytes.Equal(got, want.bytes()) {
		t.Errorf("pages of %d aren't those written: %d bytes, %v", img.Manifest().Seq, len(got), err)
	}
	verified, sums := make([]byte, len(got)), make([]uint64, len(want))
	if err := pages.ReadPages(verified, 0, sums); err != nil || !bytes.Equal(got, verified) {
		t.Errorf("pages of %d can't be verified: %v", img.Manifest().Seq, err)
	}
	for i, sum := range sums {
		if sum != xxhash.Sum64(got[i*pageSize:(i+1)*pageSize]) {
			t.Errorf("page %d of %d has another hash", i, img.Manifest().Seq)
		}
	}
}

func testIncremental(t *testing.T, h Harness) {
	s := h.New(t, mine)
	first, second := memory{1, 2, 3, 4, 5}, memory{9, 1, 2, 8, 4, 5, 7}
	publishMemory(t, s, 1, 0, nil, first)
	m := publishMemory(t, s, 2, 1, first, second)
	// Two of the three can't be compressed.
	if p := m.Pages; p.Bytes != 7*pageSize || p.Changed != 3*pageSize || p.Stored < 2*pageSize || p.Stored > 3*pageSize+512 {
		t.Errorf("the manifest says %+v", m.Pages)
	}
	expectUsage(t, s, 5*pageSize, 11*pageSize)
	if err := s.Remove(context.Background(), 1); err != nil {
		t.Fatal(err)
	}
	expectMemory(t, open(t, s, 2), second)
	if got := h.Room(s); got != 7 {
		t.Errorf("there is room for %d pages, 7 are needed", got)
	}
	expectMemory(t, open(t, s, 2), second)
	if err := s.Remove(context.Background(), 2); err != nil {
		t.Fatal(err)
	}
}

// expectUsage compares the room that checkpoints need with bounds.
func expectUsage(t *testing.T, s checkpoint.Store, low, high int64) {
	t.Helper()
	u, err := s.Usage(context.Background())
	if err != nil || u.Live < low || u.Live > high {
		t.Errorf("usage %+v, %v; live should be from %d to %d", u, err, low, high)
	}
}

// testLimit: a checkpoint that fits is kept beside any others; a checkpoint that
// is too large by itself is refused, and nothing of it stays.
func testLimit(t *testing.T, h Harness) {
	id := mine
	id.Limit = 20 * pageSize
	s := h.New(t, id)
	first, second := memory{1, 3, 5, 7, 9, 11, 13, 15}, memory{17, 19, 21, 23, 25, 27, 29, 31}
	publishMemory(t, s, 1, 0, nil, first)
	publishMemory(t, s, 2, 1, first, second)
	st := stageMemory(t, s, 3, 2, second, append(append(memory{33, 35, 37, 39}, first...), second...))
	defer st.Discard()
	_, err := st.Publish(context.Background(), manifest(3))
	expectError(t, "publish", err, checkpoint.ErrLimit)
	expectList(t, s, 1, 2)
	if got := h.Room(s); got != 16 {
		t.Errorf("there is room for %d pages, 16 are needed", got)
	}
	publishMemory(t, s, 3, 2, second, second)
}

func testParentGone(t *testing.T, h Harness) {
	s := h.New(t, mine)
	st, err := s.Stage(context.Background(), 5)
	if err != nil || st.Parent() != 0 {
		t.Fatalf("staged over %v, %v", st.Parent(), err)
	}
	st.Discard()
	first, second := memory{1, 2, 3}, memory{1, 4, 3}
	publishMemory(t, s, 1, 0, nil, first)
	st = stageMemory(t, s, 2, 1, first, second)
	if err := s.Remove(context.Background(), 1); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Publish(context.Background(), manifest(2)); err != nil {
		t.Fatal(err)
	}
	expectMemory(t, open(t, s, 2), second)
	st = stageMemory(t, s, 3, 2, second, memory{5, 6, 4})
	st.Discard()
	if got := h.Room(s); got != 3 {
		t.Errorf("there is room for %d pages, 3 are needed", got)
	}
}

// history is a random life of a store, and the memory that should be in it.
type history struct {
	random *rand.Rand
	now    memory
	head   checkpoint.Seq // whose memory now is based on; 0: unknown
	base   memory
	next   uint64
	kept   map[checkpoint.Seq]memory
}

// change makes the program do something.
func (h *history) change() {
	h.now = slices.Clone(h.now)
	for range h.random.IntN(20) {
		h.next++
		switch at := h.random.IntN(len(h.now) + 1); {
		case at == len(h.now) || h.random.IntN(4) == 0:
			h.now = slices.Insert(h.now, at, h.next)
		case len(h.now) > 1 && h.random.IntN(3) == 0:
			h.now = slices.Delete(h.now, at, at+1)
		default:
			h.now[at] = h.next
		}
	}
}

// testHistory takes checkpoints of a changing memory, removes some, goes back to
// others, and reopens. All kept checkpoints are always whole, and there is room
// for nothing else.
func testHistory(t *testing.T, h Harness) {
	s := h.New(t, mine)
	w := &history{random: rand.New(rand.NewPCG(5, 6)), now: memory{0}, kept: make(map[checkpoint.Seq]memory)}
	for seq := checkpoint.Seq(1); seq <= 60; seq++ {
		w.change()
		publishMemory(t, s, seq, w.head, w.base, w.now)
		w.kept[seq], w.head, w.base = w.now, seq, w.now
		w.removeSome(t, s, seq)
		switch w.random.IntN(8) {
		case 0:
			w.head, w.base = 0, nil // a checkpoint that had to be whole
		case 1:
			if h.Reopen != nil {
				s = h.Reopen(t, s, mine)
			}
		}
		w.check(t, h, s)
	}
}

// removeSome removes checkpoints but the newest, and may go back to one.
func (w *history) removeSome(t *testing.T, s checkpoint.Store, newest checkpoint.Seq) {
	for seq := range w.kept {
		if seq == newest || w.random.IntN(4) > 0 {
			continue
		}
		if err := s.Remove(context.Background(), seq); err != nil {
			t.Fatal(err)
		}
		delete(w.kept, seq)
	}
	for seq, m := range w.kept {
		if w.random.IntN(6) == 0 {
			w.now, w.head, w.base = m, seq, m
		}
		break
	}
}

func (w *history) check(t *testing.T, h Harness, s checkpoint.Store) {
	t.Helper()
	room := make(map[uint64]bool)
	for seq, m := range w.kept {
		img, err := s.Open(context.Background(), seq)
		if err != nil {
			t.Fatal(err)
		}
		expectMemory(t, img, m)
		img.Close()
		for _, n := range m {
			room[n] = true
		}
	}
	// After a checkpoint that is whole again a page may be there twice.
	if got := h.Room(s); got < len(room) || w.head != 0 && got > 3*len(room)+20 {
		t.Errorf("there is room for %d pages, %d are needed", got, len(room))
	}
}

func testHostileIndex(t *testing.T, h Harness) {
	s := h.New(t, mine)
	first := memory{1, 2, 3}
	publishMemory(t, s, 1, 0, nil, first)
	staged := func(page, pages uint64) []pageindex.Run {
		return []pageindex.Run{{Source: pageindex.Staged, Page: page, Pages: pages}}
	}
	for name, index := range map[string][]byte{
		"nothing":              nil,
		"rubbish":              []byte("rubbish that is long enough"),
		"a page not staged":    pageindex.AppendTo(nil, staged(3, 1)),
		"a page far away":      pageindex.AppendTo(nil, staged(1<<40, 1)),
		"a page not in parent": pageindex.AppendTo(nil, []pageindex.Run{{Page: 2, Pages: 2}}),
	} {
		st := stageMemory(t, s, 2, 1, first, memory{4, 5, 6})
		if err := st.File(checkpoint.FilePageIndex).Truncate(0); err != nil {
			t.Fatal(err)
		}
		write(t, st, checkpoint.FilePageIndex, index)
		_, err := st.Publish(context.Background(), manifest(2))
		if name == "a page far away" {
			expectError(t, "publish "+name, err, checkpoint.ErrFull)
		} else {
			expectError(t, "publish "+name, err, checkpoint.ErrDamaged)
		}
		st.Discard()
	}
	expectList(t, s, 1)
	if got := h.Room(s); got != 3 {
		t.Errorf("there is room for %d pages, 3 are needed", got)
	}
}

func testCompare(t *testing.T, h Harness) {
	id := mine
	id.Compare = true
	s := h.New(t, id)
	first, second := memory{1, 2, 3}, memory{1, 4, 3}
	publishMemory(t, s, 1, 0, nil, first)
	for name, full := range map[string]memory{"a change": {1, 4, 5}, "a page": {1, 4}, "a new page": {1, 4, 3, 0}} {
		st := stageMemory(t, s, 2, 1, first, second)
		if err := st.File(checkpoint.FileFull).Truncate(0); err != nil {
			t.Fatal(err)
		}
		write(t, st, checkpoint.FileFull, full.bytes())
		_, err := st.Publish(context.Background(), manifest(2))
		expectError(t, "publish without "+name, err, checkpoint.ErrMissed)
		st.Discard()
	}
	expectList(t, s, 1)
	publishMemory(t, s, 2, 1, first, second)
	expectMemory(t, open(t, s, 2), second)
}

func testDamagedPages(t *testing.T, h Harness) {
	s := h.New(t, mine)
	first, second := memory{1, 2, 3}, memory{1, 4, 3}
	publishMemory(t, s, 1, 0, nil, first)
	publishMemory(t, s, 2, 1, first, second)
	flip := func(b []byte) { b[len(b)/2] ^= 1 }
	expectBad := func(seqs ...checkpoint.Seq) {
		t.Helper()
		for seq := checkpoint.Seq(1); seq <= 2; seq++ {
			err := s.Verify(context.Background(), seq)
			if slices.Contains(seqs, seq) {
				expectError(t, "verify", err, checkpoint.ErrDamaged)
			} else if err != nil {
				t.Error(err)
			}
		}
	}
	h.DamagePage(t, s, 2, 1, flip)
	expectBad(2)
	expectBadPage(t, open(t, s, 2).Pages(), 3, 1)
	h.DamagePage(t, s, 1, 1, flip)
	expectBad(1, 2)
	h.DamagePage(t, s, 1, 1, flip)
	h.DamagePage(t, s, 2, 1, flip)
	expectBad()
	h.DamagePage(t, s, 2, 2, flip) // the parent's too
	expectBad(1, 2)
	for seq := checkpoint.Seq(1); seq <= 2; seq++ {
		if err := s.Remove(context.Background(), seq); err != nil {
			t.Errorf("remove a damaged checkpoint: %v", err)
		}
	}
}

// expectBadPage reads every range of so many pages: those with the bad one in
// it can't be read, and neither can one that ends beyond the last.
func expectBadPage(t *testing.T, pages checkpoint.PageReader, total, bad uint64) {
	t.Helper()
	for first := range total {
		for n := uint64(1); first+n <= total+1; n++ {
			err := pages.ReadPages(make([]byte, n*pageSize), first, make([]uint64, n))
			if isBad := first <= bad && bad < first+n || first+n > total; !isBad && err != nil {
				t.Errorf("read %d pages from %d on: %v", n, first, err)
			} else if isBad {
				expectError(t, fmt.Sprintf("read %d pages from %d on", n, first), err, checkpoint.ErrDamaged)
			}
		}
	}
}

func testPagesReadAnywhere(t *testing.T, h Harness) {
	s := h.New(t, mine)
	first, second := memory{1, 2, 3, 4}, memory{4, 9, 3, 2, 8}
	publishMemory(t, s, 1, 0, nil, first)
	publishMemory(t, s, 2, 1, first, second)
	pages, want := open(t, s, 2).Pages(), second.bytes()
	random := rand.New(rand.NewPCG(7, 8))
	for range 200 {
		at := random.IntN(len(want))
		b := make([]byte, 1+random.IntN(len(want)))
		n, err := pages.ReadAt(b, int64(at))
		if rest := want[at:min(len(want), at+len(b))]; !bytes.Equal(b[:n], rest) || (err == io.EOF) != (n < len(b)) {
			t.Fatalf("%d bytes from %d: read %d, %v", len(b), at, n, err)
		}
	}
	if n, err := pages.ReadAt(make([]byte, 1), int64(len(want))); n != 0 || err != io.EOF {
		t.Errorf("at the end: read %d, %v", n, err)
	}
}
