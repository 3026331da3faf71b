package dirtytrack

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"gvisor.dev/gvisor/pkg/hostarch"
	"gvisor.dev/gvisor/pkg/sentry/memmap"
	"gvisor.dev/gvisor/pkg/sentry/pgalloc"
	"gvisor.dev/gvisor/pkg/sentry/platform"

	"runsc-recover/checkpoint/memfile"
	"runsc-recover/checkpoint/pageset"
)

// hostPage is the mapping at a page of a stub process.
type hostPage struct {
	mf     memmap.File
	offset uint64
	at     hostarch.AccessType
}

// host is a stub process, and counts the calls to the platform below.
type host struct {
	platform.NoAddressSpaceIO
	pages map[uint64]hostPage
	calls int
	fails bool
}

func (h *host) MapFile(addr hostarch.Addr, mf memmap.File, fr memmap.FileRange, at hostarch.AccessType, _ bool) error {
	h.calls++
	if h.fails {
		return fmt.Errorf("it can't be mapped")
	}
	for off := uint64(0); off < fr.Length(); off += pageSize {
		h.pages[uint64(addr)+off] = hostPage{mf, fr.Start + off, at}
	}
	return nil
}

func (h *host) Unmap(addr hostarch.Addr, length uint64) {
	for off := uint64(0); off < length; off += pageSize {
		delete(h.pages, uint64(addr)+off)
	}
}

func (h *host) Release()  { h.pages = nil }
func (h *host) PreFork()  {}
func (h *host) PostFork() {}

func newTestFile(t *testing.T) *pgalloc.MemoryFile {
	t.Helper()
	f, err := memfile.New("memory")
	if err != nil {
		t.Fatal(err)
	}
	mf, err := pgalloc.NewMemoryFile(f, pgalloc.MemoryFileOpts{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(mf.Destroy)
	return mf
}

func newTestSpace(t *testing.T) (*space, *host) {
	h := &host{pages: make(map[uint64]hostPage)}
	tracker := &Tracker{
		files:  make(map[uint64]*file),
		known:  make(map[*pgalloc.MemoryFile]*file),
		spaces: make(map[*space]struct{}),
	}
	s := &space{AddressSpace: h, tracker: tracker}
	tracker.add(s)
	return s, h
}

// expectConsistent checks the two promises: all pages that the program can write
// are noted, and regions are as the mappings.
func expectConsistent(t *testing.T, s *space, h *host, written map[*file]*pageset.Set) {
	t.Helper()
	for address, p := range h.pages {
		f := s.tracker.fileOf(p.mf)
		if p.at.Write && !written[f].Has(p.offset/pageSize) {
			t.Fatalf("%#x can be written and page %d isn't noted", address, p.offset/pageSize)
		}
	}
	last := uint64(0)
	for _, r := range s.regions {
		if r.start < last || r.end <= r.start {
			t.Fatalf("regions are out of order: %+v", s.regions)
		}
		last = r.end
		for a := r.start; a < r.end; a += pageSize {
			p, ok := h.pages[a]
			if !ok || p.mf != r.mapping.mf || p.offset != r.offset(a) || p.at.Write != r.open {
				t.Fatalf("region %+v at %#x, where %+v is mapped", r, a, p)
			}
		}
	}
}

// TestSpace makes the calls of a memory manager, a program and captures, at random.
func TestSpace(t *testing.T) {
	const pages = 3000 // addresses, and each file's
	random := rand.New(rand.NewPCG(3, 4))
	s, h := newTestSpace(t)
	written := make(map[*file]*pageset.Set)
	var mfs []*pgalloc.MemoryFile
	for range 2 {
		mf := newTestFile(t)
		mfs = append(mfs, mf)
		written[s.tracker.fileOf(mf)] = new(pageset.Set)
	}
	gather := func() {
		for f, w := range written {
			w.Merge(&f.written)
		}
	}
	for step := range 4000 {
		address := random.Uint64N(pages) * pageSize
		length := (1 + random.Uint64N(min(pages-address/pageSize, 900))) * pageSize
		switch random.IntN(12) {
		case 0, 1:
			fr := memmap.FileRange{Start: address, End: address + length}
			if random.IntN(4) == 0 {
				fr.Start, fr.End = fr.Start+7*pageSize, fr.End+7*pageSize
			}
			at := hostarch.AccessType{Read: true, Write: random.IntN(3) > 0, Execute: random.IntN(5) == 0}
			h.fails = random.IntN(20) == 0
			err := s.MapFile(hostarch.Addr(address), mfs[random.IntN(2)], fr, at, false)
			if h.fails {
				// The memory manager unmaps a range that it couldn't map.
				h.fails = false
				s.Unmap(hostarch.Addr(address), length)
			} else if err != nil {
				t.Fatal(err)
			}
		case 2:
			s.Unmap(hostarch.Addr(address), length)
		case 3:
			f := s.tracker.fileOf(mfs[random.IntN(2)])
			written[f].Clear()
			hot := f.nextInterval(new(pageset.Set))
			h.fails = random.IntN(5) == 0
			s.protect(f, hot)
			h.fails = false
		default:
			faultAt(t, s, h, address)
		}
		gather()
		if step%10 == 0 {
			expectConsistent(t, s, h, written)
		}
	}
}

// faultAt writes to an address as a program would.
func faultAt(t *testing.T, s *space, h *host, address uint64) {
	t.Helper()
	p, mapped := h.pages[address]
	if !mapped || p.at.Write {
		return
	}
	r, known := s.regions.at(address)
	if opened := s.write(address + 8); opened != known {
		t.Fatalf("write to %#x, region %+v %v: opened %v", address, r, known, opened)
	}
	if known && !h.pages[address].at.Write {
		t.Fatalf("%#x was opened and can't be written", address)
	}
}

func TestSequentialWritesOpenMore(t *testing.T) {
	s, h := newTestSpace(t)
	mf := newTestFile(t)
	const length = 32 << 20
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(s.MapFile(0x100000, mf, memmap.FileRange{Start: 0, End: length}, hostarch.ReadWrite, false))
	h.calls = 0
	for a := uint64(0x100000); a < 0x100000+10<<20; a += pageSize {
		faultAt(t, s, h, a)
	}
	if h.calls > 20 {
		t.Errorf("%d faults to write 10 MiB from front to back", h.calls)
	}
	h.calls = 0
	f := s.tracker.fileOf(mf)
	s.protect(f, f.nextInterval(new(pageset.Set)))
	if h.calls != 1 {
		t.Errorf("%d calls to protect it again", h.calls)
	}
}

// TestPagesWrittenAllTheTimeStayOpen: a program that writes to the same pages
// between captures faults in few of those, its writes are reported in all, and
// pages that it doesn't write any more are closed in the end.
func TestPagesWrittenAllTheTimeStayOpen(t *testing.T) {
	s, h := newTestSpace(t)
	mf := newTestFile(t)
	const base, length, intervals = 0x100000, 32 << 20, 64
	if err := s.MapFile(base, mf, memmap.FileRange{Start: 0, End: length}, hostarch.ReadWrite, false); err != nil {
		t.Fatal(err)
	}
	f := s.tracker.fileOf(mf)
	faults := 0
	interval := func(pages ...uint64) {
		for _, page := range pages {
			if !h.pages[base+page*pageSize].at.Write {
				faults++
			}
			faultAt(t, s, h, base+page*pageSize)
		}
		var changed pageset.Set
		hot := f.nextInterval(&changed)
		s.protect(f, hot)
		for _, page := range pages {
			if !changed.Has(page) {
				t.Fatalf("page %d was written and isn't reported", page)
			}
		}
	}
	var pages []uint64
	for page := uint64(0); page < 1200; page += 5 {
		pages = append(pages, page)
	}
	interval(pages...)
	each := faults
	for range intervals {
		interval(pages...)
	}
	if most := each * (intervals/16 + 2); each < 100 || faults > most {
		t.Errorf("%d faults in the first interval and %d in all %d, want no more than %d", each, faults, intervals, most)
	}
	for range intervals {
		interval(1)
	}
	open := 0
	for _, p := range h.pages {
		if p.at.Write {
			open++
		}
	}
	if open > firstWindow/pageSize {
		t.Errorf("%d pages are open in the end", open)
	}
}

// TestScatteredWritesAreClosed: where leaving something open would take more
// calls to the stub process than it spares, all is closed.
func TestScatteredWritesAreClosed(t *testing.T) {
	s, h := newTestSpace(t)
	mf := newTestFile(t)
	const base, length = 0x100000, 512 << 20
	if err := s.MapFile(base, mf, memmap.FileRange{Start: 0, End: length}, hostarch.ReadWrite, false); err != nil {
		t.Fatal(err)
	}
	f := s.tracker.fileOf(mf)
	random := rand.New(rand.NewPCG(5, 6))
	for range 10 {
		for range 2000 {
			faultAt(t, s, h, base+random.Uint64N(length/pageSize)*pageSize)
		}
		before := len(s.regions.spans(f, maxGap))
		h.calls = 0
		s.protect(f, f.nextInterval(new(pageset.Set)))
		if h.calls > before+maxSplits {
			t.Errorf("%d calls to close what is open, %d when all is", h.calls, before)
		}
	}
}

// TestRepeatedMapMakesProgress: a memory manager that asks again for a page that is
// there gets it for writing, whatever the reason that it asks.
func TestRepeatedMapMakesProgress(t *testing.T) {
	s, h := newTestSpace(t)
	mf := newTestFile(t)
	fr := memmap.FileRange{Start: 0, End: 2 * maxOpen}
	for range 2 {
		if err := s.MapFile(0x200000, mf, fr, hostarch.ReadWrite, false); err != nil {
			t.Fatal(err)
		}
	}
	if !h.pages[0x200000].at.Write {
		t.Error("it is still closed")
	}
}
