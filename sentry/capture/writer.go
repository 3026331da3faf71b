package capture

import (
	"fmt"
	"unsafe"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sys/unix"

	"gvisor.dev/gvisor/pkg/sentry/memmap"
	"gvisor.dev/gvisor/pkg/sentry/state/stateio"

	"runsc-recover/checkpoint/pageindex"
)

const (
	// maxWrite is as much as gVisor can ask for at once: ranges are looked at
	// as long as they come.
	maxWrite  = 1 << 50
	maxRanges = 4096
)

// Capture is the pages file of one SaveTo. It implements stateio.AsyncWriter,
// and works on the goroutine that calls it: gVisor writes the kernel on
// another meanwhile.
type Capture struct {
	capturer *Capturer
	request  Request
	index    []pageindex.Run
	pages    uint64 // of the checkpoint, so far
	done     []stateio.Completion
	err      error
}

var _ stateio.AsyncWriter = (*Capture)(nil)

// MaxWriteBytes implements stateio.AsyncWriter.
func (p *Capture) MaxWriteBytes() uint64 { return maxWrite }

// MaxRanges implements stateio.AsyncWriter.
func (p *Capture) MaxRanges() int { return maxRanges }

// MaxParallel implements stateio.AsyncWriter.
func (p *Capture) MaxParallel() int { return 1 }

// NeedRegisterSourceFD implements stateio.AsyncWriter.
func (p *Capture) NeedRegisterSourceFD() bool { return true }

// RegisterSourceFD implements stateio.AsyncWriter. gVisor calls it when
// nothing writes to the file any more, and before it looks for pages.
func (p *Capture) RegisterSourceFD(fd int32, size uint64, _ []stateio.ClientFileRangeSetting) (stateio.SourceFile, error) {
	return p.capturer.begin(int(fd), size)
}

// AddWrite implements stateio.AsyncWriter.
func (p *Capture) AddWrite(id int, src stateio.SourceFile, fr memmap.FileRange, b []byte) {
	p.write(src.(*source), fr.Start, b)
	p.complete(id, fr.Length())
}

// AddWritev implements stateio.AsyncWriter.
func (p *Capture) AddWritev(id int, total uint64, src stateio.SourceFile, frs []memmap.FileRange, maps []unix.Iovec) {
	var b []byte // the rest of the mapping before
	for _, fr := range frs {
		for fr.Length() > 0 {
			if len(b) == 0 {
				b = unsafe.Slice(maps[0].Base, maps[0].Len)
				maps = maps[1:]
			}
			n := min(fr.Length(), uint64(len(b)))
			p.write(src.(*source), fr.Start, b[:n])
			fr.Start += n
			b = b[n:]
		}
	}
	p.complete(id, total)
}

func (p *Capture) complete(id int, n uint64) {
	c := stateio.Completion{ID: id, N: n}
	if p.err != nil {
		c.N, c.Err = 0, p.err
	}
	p.done = append(p.done, c)
}

// Wait implements stateio.AsyncWriter.
func (p *Capture) Wait(cs []stateio.Completion, _ int) ([]stateio.Completion, error) {
	cs = append(cs, p.done...)
	p.done = p.done[:0]
	return cs, nil
}

// Reserve implements stateio.AsyncWriter.
func (p *Capture) Reserve(uint64) {}

// Finalize implements stateio.AsyncWriter.
func (p *Capture) Finalize() error { return p.err }

// Close implements stateio.AsyncWriter.
func (p *Capture) Close() error { return nil }

// write saves the pages of a range, whose mapping is b.
func (p *Capture) write(f *source, offset uint64, b []byte) {
	if p.err != nil {
		return
	}
	if p.request.Full >= 0 {
		if p.err = p.writeFull(b); p.err != nil {
			return
		}
	}
	page, end := offset>>pageShift, (offset+uint64(len(b)))>>pageShift
	for page < end && p.err == nil {
		stop := min(end, (page|(blockPages-1))+1)
		n := (stop - page) << pageShift
		p.writeBlock(f.file, page, f.view(page<<pageShift, b[:n]))
		page, b = stop, b[n:]
	}
}

// writeBlock saves pages that are in one block of the layouts.
func (p *Capture) writeBlock(f *file, page uint64, b []byte) {
	base, pending := f.base.at(page), f.pending.make(page)
	end := page + uint64(len(b))>>pageShift
	first := page
	for page < end {
		suspect := f.suspects.Next(page, end)
		if base == nil {
			suspect = page
		}
		page = p.nameUnchanged(base, pending, page, suspect)
		if page == end {
			break
		}
		at := (page - first) << pageShift
		if p.err = p.copyChanged(base, pending, page, b[at:at+pageSize]); p.err != nil {
			return
		}
		page++
	}
}

// nameUnchanged saves the pages from page to end as they are in the base, up to
// a page that the base lacks, and returns the page after the last.
func (p *Capture) nameUnchanged(base, pending *block, page, end uint64) uint64 {
	for ; page < end; page++ {
		i := page % blockPages
		place := base.places[i]
		if place == 0 {
			return page
		}
		pending.sums[i] = base.sums[i]
		p.append(pending, i, pageindex.Run{Source: pageindex.Parent, Page: uint64(place - 1), Pages: 1})
	}
	return page
}

// copyChanged saves a suspected page: by name where its hash is the base's,
// else as a copy.
func (p *Capture) copyChanged(base, pending *block, page uint64, b []byte) error {
	i := page % blockPages
	sum := xxhash.Sum64(b)
	pending.sums[i] = sum
	if base != nil && base.places[i] != 0 && base.sums[i] == sum {
		p.append(pending, i, pageindex.Run{Source: pageindex.Parent, Page: uint64(base.places[i] - 1), Pages: 1})
		return nil
	}
	at, err := p.capturer.staging.add(b)
	if err != nil {
		return err
	}
	p.append(pending, i, pageindex.Run{Source: pageindex.Staged, Page: at, Pages: 1})
	return nil
}

func (p *Capture) append(pending *block, i uint64, r pageindex.Run) {
	p.pages++
	pending.places[i] = uint32(p.pages)
	p.index = pageindex.Append(p.index, r)
}

func (p *Capture) writeFull(b []byte) error {
	at := int64(p.pages << pageShift)
	for len(b) > 0 {
		n, err := unix.Pwrite(p.request.Full, b, at)
		if err != nil {
			return fmt.Errorf("%w: write all of memory: %w", ErrFull, err)
		}
		b, at = b[n:], at+int64(n)
	}
	return nil
}

// Finish ends a capture whose SaveTo succeeded, once the program runs again. It
// returns the page index, encoded, which is valid until the next Begin.
func (p *Capture) Finish() ([]byte, error) {
	if p.request.Full >= 0 {
		if err := unix.Ftruncate(p.request.Full, int64(p.pages<<pageShift)); err != nil {
			return nil, fmt.Errorf("cut all of memory: %w", err)
		}
	}
	p.capturer.index = p.index
	p.capturer.pendingSeq = p.request.Seq
	return pageindex.AppendTo(nil, p.index), nil
}
