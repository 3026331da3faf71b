package capture

import (
	"math/rand/v2"
	"testing"

	"github.com/cespare/xxhash/v2"

	"runsc-recover/checkpoint/pageindex"
)

// restored returns a memory file that is filled with a checkpoint of another, and
// the list of its pages.
func restored(t *testing.T, from *memoryFile) (*memoryFile, pageindex.Loaded) {
	m := newMemoryFile(t)
	id, err := identify(m.fd)
	if err != nil {
		t.Fatal(err)
	}
	var l pageindex.Loaded
	f := pageindex.LoadedFile{Dev: id.dev, Ino: id.ino}
	for p, committed := range from.committed {
		if !committed {
			continue
		}
		page := m.mem[p*pageSize : (p+1)*pageSize]
		copy(page, from.mem[p*pageSize:])
		m.committed[p] = true
		f.Add(pageindex.LoadedRun{Page: uint64(p), Place: uint64(len(l.Sums)), Pages: 1})
		l.Sums = append(l.Sums, xxhash.Sum64(page))
	}
	l.Files = append(l.Files, f)
	return m, l
}

// TestAdopt takes a copy's first checkpoint, over the one that it was restored
// from. The copy has changed memory before it was told of that, which no
// tracker saw, and after.
func TestAdopt(t *testing.T) {
	for _, tracked := range []bool{false, true} {
		random := rand.New(rand.NewPCG(15, 16))
		for range 6 {
			first := newMemoryFile(t)
			for range 10 {
				first.change(random)
			}
			full, staged := newMemfd(t, 0), newMemfd(t, 0)
			parent, total := takeOne(t, New(nil), Request{Seq: 7, Staged: staged, Full: full}, []*memoryFile{first}, taken{})

			m, l := restored(t, first)
			var tracker Tracker
			if tracked {
				tracker = &honest{files: map[uint64]*memoryFile{l.Files[0].Ino: m}, random: random}
			}
			c := New(tracker)
			m.change(random)
			m.written = [testPages]bool{}
			if err := c.Adopt(7, l, m.memory()); err != nil {
				t.Fatal(err)
			}
			m.change(random)
			if _, n := takeOne(t, c, Request{Seq: 9, Parent: 7, Staged: staged, Full: full}, []*memoryFile{m}, parent); n == 0 || n >= total {
				t.Errorf("%d pages staged of %d", n, total)
			}
		}
	}
}

func (m *memoryFile) memory() Memory {
	return Memory{FD: m.fd, Size: uint64(len(m.mem)), Map: func(offset, length uint64) ([]byte, error) {
		return m.mem[offset : offset+length], nil
	}}
}

// TestAdoptedIsNotTheParent: adopted pages mean nothing to a checkpoint over
// another, and a file that isn't looked at is compared in full.
func TestAdoptedIsNotTheParent(t *testing.T) {
	random := rand.New(rand.NewPCG(17, 18))
	first := newMemoryFile(t)
	first.change(random)
	full, staged := newMemfd(t, 0), newMemfd(t, 0)
	parent, _ := takeOne(t, New(nil), Request{Seq: 1, Staged: staged, Full: full}, []*memoryFile{first}, taken{})
	m, l := restored(t, first)
	c := New(&honest{files: map[uint64]*memoryFile{l.Files[0].Ino: m}, random: random})
	if err := c.Adopt(1, l); err != nil {
		t.Fatal(err)
	}
	m.change(random)
	m.written = [testPages]bool{} // nobody saw it
	takeOne(t, c, Request{Seq: 2, Parent: 1, Staged: staged, Full: full}, []*memoryFile{m}, parent)

	m, l = restored(t, first)
	c = New(nil)
	if err := c.Adopt(1, l, m.memory()); err != nil {
		t.Fatal(err)
	}
	takeOne(t, c, Request{Seq: 2, Staged: staged, Full: full}, []*memoryFile{m}, taken{})
}
