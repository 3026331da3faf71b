package capture

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"

	"gvisor.dev/gvisor/pkg/sentry/memmap"
	"gvisor.dev/gvisor/pkg/sentry/state/stateio"

	"runsc-recover/checkpoint/memfile"
	"runsc-recover/checkpoint/pageindex"
	"runsc-recover/checkpoint/pageset"
)

const testPages = blockPages + 100 // of a memory file

// memoryFile is one of gVisor's, with the pages that it would save.
type memoryFile struct {
	fd        int
	mem       []byte
	committed [testPages]bool
	written   [testPages]bool // since the tracker was asked
}

func newMemoryFile(t *testing.T) *memoryFile {
	fd := newMemfd(t, testPages*pageSize)
	mem, err := unix.Mmap(fd, 0, testPages*pageSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(mem) })
	return &memoryFile{fd: fd, mem: mem}
}

func newMemfd(t *testing.T, size int64) int {
	f, err := memfile.New("test")
	if err == nil {
		err = f.Truncate(size)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return int(f.Fd())
}

// change writes, commits and decommits some pages.
func (m *memoryFile) change(random *rand.Rand) {
	for range random.IntN(30) {
		page, pages := random.IntN(testPages), 1+random.IntN(40)
		for p := page; p < min(page+pages, testPages); p++ {
			switch b := m.mem[p*pageSize : (p+1)*pageSize]; random.IntN(4) {
			case 0:
				clear(b)
				m.committed[p] = false
			default:
				b[random.IntN(pageSize)] = byte(random.Int())
				m.committed[p] = true
			}
			m.written[p] = true
		}
	}
}

// save writes the pages of a memory file as gVisor does.
func (m *memoryFile) save(t *testing.T, w stateio.AsyncWriter) {
	src, err := w.RegisterSourceFD(int32(m.fd), uint64(len(m.mem)), nil)
	if err != nil {
		t.Fatal(err)
	}
	var frs []memmap.FileRange
	var maps []unix.Iovec
	flush := func() {
		if len(frs) == 1 {
			w.AddWrite(0, src, frs[0], m.mem[frs[0].Start:frs[0].End])
		} else if len(frs) > 1 {
			total := uint64(0)
			for _, m := range maps {
				total += m.Len
			}
			w.AddWritev(0, total, src, frs, maps)
		}
		if len(frs) > 0 {
			cs, err := w.Wait(nil, 1)
			if err != nil || len(cs) != 1 || cs[0].Err != nil {
				t.Fatalf("wait: %v, %v", cs, err)
			}
		}
		frs, maps = nil, nil
	}
	for p := 0; p < testPages; {
		start := p
		for p < testPages && m.committed[p] {
			p++
		}
		if p == start {
			p++
			continue
		}
		fr := memmap.FileRange{Start: uint64(start * pageSize), End: uint64(p * pageSize)}
		frs = append(frs, fr)
		// Mappings needn't be cut where ranges are.
		for at := fr.Start; at < fr.End; at += 7 * pageSize {
			maps = append(maps, unix.Iovec{Base: &m.mem[at], Len: min(7*pageSize, fr.End-at)})
		}
		if len(frs) == 5 {
			flush()
		}
	}
	flush()
}

// contents is the contents of gVisor's pages file.
func (m *memoryFile) contents() (b []byte) {
	for p, committed := range m.committed {
		if committed {
			b = append(b, m.mem[p*pageSize:(p+1)*pageSize]...)
		}
	}
	return b
}

// honest is a Tracker that knows exactly, or says more than changed.
type honest struct {
	files  map[uint64]*memoryFile
	random *rand.Rand
}

func (h *honest) Watch(ino uint64, _ int, _ uint64, changed *pageset.Set) Watch {
	m := h.files[ino]
	for p, written := range m.written {
		if written || h.random.IntN(50) == 0 {
			changed.Add(uint64(p), 1)
		}
	}
	m.written = [testPages]bool{}
	return m
}

// View implements Watch. A page is read where it is.
func (m *memoryFile) View(offset uint64, b []byte) []byte {
	return m.mem[offset : offset+uint64(len(b))]
}

func (h *honest) Begin(ino uint64, _ int) Watch { return h.files[ino] }

func (h *honest) Forget(ino uint64) { delete(h.files, ino) }
func (h *honest) Name() string      { return "honest" }

// taken is a checkpoint as the supervisor keeps it.
type taken struct {
	seq   uint64
	pages []byte
}

// TestHistory takes checkpoints of changing files: some aren't published, and
// some are over another parent than the capturer expects.
func TestHistory(t *testing.T) {
	for _, tracked := range []bool{false, true} {
		random := rand.New(rand.NewPCG(9, 10))
		files := []*memoryFile{newMemoryFile(t), newMemoryFile(t)}
		var tracker Tracker
		if tracked {
			h := &honest{files: make(map[uint64]*memoryFile), random: random}
			for _, m := range files {
				id, err := identify(m.fd)
				if err != nil {
					t.Fatal(err)
				}
				h.files[id.ino] = m
			}
			tracker = h
		}
		c := New(tracker)
		stagings := []int{newMemfd(t, 0), newMemfd(t, 5*pageSize)}
		full := newMemfd(t, 0)
		var parent, before taken
		for seq := uint64(1); seq < 50; seq++ {
			for _, m := range files {
				m.change(random)
			}
			over := parent
			if random.IntN(10) == 0 {
				over = before
			}
			got, _ := takeOne(t, c, Request{Seq: seq, Parent: over.seq, Staged: stagings[random.IntN(2)], Full: full}, files, over)
			if random.IntN(4) > 0 {
				before, parent = parent, got
			}
			random.Shuffle(2, func(i, j int) { files[i], files[j] = files[j], files[i] })
		}
	}
}

// takeOne captures files and checks the checkpoint that a supervisor would make of
// them.
func takeOne(t *testing.T, c *Capturer, r Request, files []*memoryFile, parent taken) (taken, uint64) {
	t.Helper()
	if err := unix.Ftruncate(r.Full, 0); err != nil {
		t.Fatal(err)
	}
	p, err := c.Begin(r)
	if err != nil {
		t.Fatal(err)
	}
	var want []byte
	for _, m := range files {
		m.save(t, p)
		want = append(want, m.contents()...)
	}
	if err := p.Finalize(); err != nil {
		t.Fatal(err)
	}
	encoded, err := p.Finish()
	if err != nil {
		t.Fatal(err)
	}
	index, err := pageindex.Decode(encoded)
	if err != nil {
		t.Fatal(err)
	}
	total := stagedPages(index)
	staged := make([]byte, total*pageSize)
	if _, err := unix.Pread(r.Staged, staged, 0); err != nil {
		t.Fatal(err)
	}
	var got []byte
	for _, run := range index {
		from := staged
		if run.Source == pageindex.Parent {
			from = parent.pages
		}
		got = append(got, from[run.Page*pageSize:run.End()*pageSize]...)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("checkpoint %d over %d isn't what memory was", r.Seq, r.Parent)
	}
	full := make([]byte, len(want)+1)
	if n, err := unix.Pread(r.Full, full, 0); err != nil || !bytes.Equal(full[:n], want) {
		t.Fatalf("the full file of checkpoint %d isn't what memory was: %v", r.Seq, err)
	}
	return taken{r.Seq, want}, total
}

// stagedPages is the number of pages of an index that were copied.
func stagedPages(index []pageindex.Run) (n uint64) {
	for _, r := range index {
		if r.Source == pageindex.Staged {
			n += r.Pages
		}
	}
	return n
}

func TestUnchangedCostsNothing(t *testing.T) {
	m := newMemoryFile(t)
	m.change(rand.New(rand.NewPCG(11, 12)))
	c, staged := New(nil), newMemfd(t, 0)
	first, _ := takeOne(t, c, Request{Seq: 1, Staged: staged, Full: newMemfd(t, 0)}, []*memoryFile{m}, taken{})
	if _, n := takeOne(t, c, Request{Seq: 2, Parent: 1, Staged: staged, Full: newMemfd(t, 0)}, []*memoryFile{m}, first); n != 0 {
		t.Errorf("%d pages staged, nothing changed", n)
	}
}
