package dirtytrack

import (
	"slices"
	"sync"

	"gvisor.dev/gvisor/pkg/hostarch"
	"gvisor.dev/gvisor/pkg/log"
	"gvisor.dev/gvisor/pkg/sentry/memmap"
	"gvisor.dev/gvisor/pkg/sentry/platform"

	"runsc-recover/checkpoint/pageset"
)

const (
	// firstWindow is how much the first write to a closed range opens.
	// Writes that go on where an open range ends open as much again, up to
	// maxWindow: a fault costs as much as comparing a hundred pages.
	firstWindow = 16 << 10
	maxWindow   = 1 << 20
	// maxOpen is the most that is mapped for writing at once because the
	// memory manager asks for it: the size of its allocations. A program that
	// grows then has no fault more than without tracking, and a program whose
	// mappings are made anew, as by fork, doesn't have all its memory compared.
	maxOpen = 2 << 20
	// maxGap is how much closed memory is mapped again to spare a call to the
	// stub process: a call takes as long as a few thousand page table entries.
	maxGap = 4 << 20
	// maxKept is the most that stays open across captures, which compare it:
	// about 0.1 ms for each MiB.
	maxKept = 32 << 20
	// keptGap is how much may lie between two ranges that stay open, and stays
	// open with them.
	keptGap = 64 << 10
	// maxSplits is how many calls to the stub process a capture makes to leave
	// pages open, and gain is how many windows each must be worth.
	maxSplits = 64
	gain      = 4
	// maxRegions bounds the host's mappings of one program, of which Linux
	// allows 65530. Beyond it, windows are as large as can be.
	maxRegions = 8192
)

// mapping is a memory file as the platform is given it.
type mapping struct {
	file *file
	mf   memmap.File
}

// space is an address space of the platform below, whose writable ranges are
// mapped for reading until they are written to.
type space struct {
	platform.AddressSpace
	tracker *Tracker

	mu sync.Mutex
	// regions is guarded by mu. The memory manager's lock, under which MapFile
	// and Unmap are called, doesn't cover write and protect.
	regions regions
}

// MapFile implements platform.AddressSpace.
func (s *space) MapFile(addr hostarch.Addr, mf memmap.File, fr memmap.FileRange, at hostarch.AccessType, precommit bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	start, end := uint64(addr), uint64(addr)+fr.Length()
	f := s.tracker.fileOf(mf)
	if f == nil || !at.Write {
		s.regions.remove(start, end)
		return s.AddressSpace.MapFile(addr, mf, fr, at, precommit)
	}
	g := grant{mapping{f, mf}, fr.Start - start, at}
	var missing []region
	s.regions.missing(start, end, g, func(start, end uint64) {
		missing = append(missing, region{start: start, end: end, grant: g, open: end-start <= maxOpen})
	})
	if missing == nil {
		// The whole range is mapped and yet it is asked for: whatever the
		// reason, mapping it as asked lets the program go on.
		missing = []region{{start: start, end: end, grant: g, open: true}}
	}
	for _, r := range missing {
		if err := s.mapLocked(r, precommit); err != nil {
			return err
		}
	}
	return nil
}

// mapLocked maps a region as its open says, and notes it.
func (s *space) mapLocked(r region, precommit bool) error {
	at := r.at
	if r.open {
		// Before it can be written.
		r.mapping.file.note(r.offset(r.start), r.length())
	} else {
		at.Read, at.Write = true, false
	}
	fr := memmap.FileRange{Start: r.offset(r.start), End: r.offset(r.end)}
	s.regions.remove(r.start, r.end)
	if err := s.AddressSpace.MapFile(hostarch.Addr(r.start), r.mapping.mf, fr, at, precommit && r.open); err != nil {
		return err
	}
	s.regions.set(r)
	return nil
}

// write lets a program write to an address that is closed. It returns false
// where the address isn't: then the fault is the memory manager's.
func (s *space) write(address uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.regions.at(address)
	if !ok || r.open {
		return false
	}
	w := s.windowLocked(address)
	r.start, r.end, r.open = max(r.start, w.start), min(r.end, w.end), true
	if err := s.mapLocked(r, false); err != nil {
		log.Warningf("recover: %#x can't be opened for writing: %v", address, err)
		return false
	}
	return true
}

type window struct{ start, end uint64 }

// windowLocked says how much to open around an address.
func (s *space) windowLocked(address uint64) window {
	size := uint64(firstWindow)
	if len(s.regions) > maxRegions {
		size = maxWindow
	}
	w := window{start: address &^ (size - 1)}
	if before, ok := s.regions.at(w.start - 1); ok && before.open {
		size = min(max(size, before.length()), maxWindow) &^ (firstWindow - 1)
	}
	w.end = w.start + size
	return w
}

// protect closes the open regions of a file, but for hot pages. Those stay open
// and are noted as written.
//
// Preconditions: the program stands still.
func (s *space) protect(f *file, hot *pageset.Set) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, span := range s.closingLocked(f, hot) {
		from, to := s.regions.overlap(span.start, span.end)
		before := slices.Clone(s.regions[from:to])
		span.open = false
		if err := s.mapLocked(span, false); err != nil {
			log.Warningf("recover: %#x can't be closed to writing: %v", span.start, err)
			s.keepLocked(before)
		}
	}
}

// closingLocked returns the spans of a file to be closed, and notes the regions
// that stay open.
func (s *space) closingLocked(f *file, hot *pageset.Set) []region {
	all := s.regions.spans(f, maxGap)
	split, kept := s.regions.keep(f, hot, keptGap, maxKept)
	if kept == 0 {
		return all
	}
	rest := split.spans(f, maxGap)
	if more := len(rest) - len(all); more > maxSplits || uint64(max(more, 0))*gain*firstWindow > kept {
		return all
	}
	for _, r := range split {
		if r.kept {
			f.note(r.offset(r.start), r.length())
		}
	}
	return rest
}

// keepLocked notes regions again that could not be closed: the open ones may
// still be written without a fault.
func (s *space) keepLocked(before []region) {
	for _, r := range before {
		if r.open {
			r.mapping.file.note(r.offset(r.start), r.length())
		}
		s.regions.set(r)
	}
}

// Unmap implements platform.AddressSpace.
func (s *space) Unmap(addr hostarch.Addr, length uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.regions.remove(uint64(addr), uint64(addr)+length)
	s.AddressSpace.Unmap(addr, length)
}

// Release implements platform.AddressSpace.
func (s *space) Release() {
	s.tracker.remove(s)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.regions = nil
	s.AddressSpace.Release()
}
