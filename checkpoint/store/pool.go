package store

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"

	"github.com/cespare/xxhash/v2"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/pageindex"
	"runsc-recover/checkpoint/pageset"
)

// pool keeps the pages of all checkpoints of a store, by addresses that are
// never used twice. An index refers to pages by address; a page stays as long
// as an index that is held refers to it. Where a page is can change: segments
// that are mostly holes are rewritten into one.
type pool struct {
	files segmentFiles
	codec *codec // nil: pages aren't compressed
	cache frameCache
	// compacting is held while segments are rewritten, on aside; before mu.
	compacting sync.Mutex
	compactor  *compactor
	aside      *aside

	mu sync.RWMutex // for reading also while segments are read
	// The following are guarded by mu.

	next     uint64 // lowest address never used
	lastID   uint64
	segments []*segment
	places   []place // ascending
	users    int     // images and stagings that are open
	closed   bool
}

// place says where the pages from an address on are.
type place struct {
	address, pages uint64
	seg            *segment
	at             uint64 // page of seg
}

// segmentFiles is where segments are kept.
type segmentFiles interface {
	// create returns an empty file that nobody else sees.
	create() (*os.File, error)
	// write writes to such a file.
	write(f *os.File, b []byte, at int64) error
	// keep makes a complete segment last, under its id. addresses are those of
	// its pages, in their order.
	keep(s *segment, addresses []pageindex.Run) error
	// remove deletes a segment, kept or not. Its file stays open.
	remove(s *segment) error
}

func newPool(files segmentFiles, c *codec) *pool {
	p := &pool{files: files, codec: c, aside: newAside()}
	p.compactor = newCompactor(p)
	return p
}

// add keeps pages of a file, from its first on, and returns their addresses,
// which are held until release, and what they take. copied is told of those
// that it has read for the last time.
func (p *pool) add(ctx context.Context, from *os.File, pages uint64, copied func(at, pages uint64)) (added []pageindex.Run, stored int64, err error) {
	if pages == 0 {
		return nil, 0, nil
	}
	p.mu.Lock()
	added = []pageindex.Run{{Page: p.next, Pages: pages}}
	p.next += pages
	p.mu.Unlock()
	for at := uint64(0); at < pages; at += segmentPages {
		run := pageindex.Run{Page: added[0].Page + at, Pages: min(segmentPages, pages-at)}
		s, err := p.newSegment([]pageindex.Run{run}, func(w *segmentWriter) error { return w.copy(ctx, from, at, run.Pages, copied) })
		if err != nil {
			return nil, 0, errors.Join(err, p.release([]pageindex.Run{{Page: added[0].Page, Pages: at}}))
		}
		stored += s.bytes
		s.ref(0, run.Pages, true, nil)
		p.adopt(s, []pageindex.Run{run})
	}
	return added, stored, nil
}

// adopt makes the pages of a segment known that was kept before. Nobody holds
// them yet.
func (p *pool) adopt(s *segment, addresses []pageindex.Run) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.adoptLocked(s, addresses)
}

// reserve notes that the addresses of an index are spoken for.
func (p *pool) reserve(index []pageindex.Run) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range index {
		p.next = max(p.next, r.End())
	}
}

// skipID notes that a segment's id is spoken for.
func (p *pool) skipID(id uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lastID = max(p.lastID, id)
}

// adoptLocked makes a segment's pages known, but for those that are elsewhere
// already.
func (p *pool) adoptLocked(s *segment, addresses []pageindex.Run) {
	p.segments = append(p.segments, s)
	p.lastID = max(p.lastID, s.id)
	at, known := uint64(0), p.places
	for _, r := range addresses {
		p.next = max(p.next, r.End())
		for _, pl := range missing(known, r) {
			pl.seg, pl.at = s, at+pl.address-r.Page
			p.places = append(p.places, pl)
		}
		at += r.Pages
	}
	p.sortLocked()
}

func (p *pool) sortLocked() {
	slices.SortFunc(p.places, func(a, b place) int { return cmp.Compare(a.address, b.address) })
}

// missing returns the parts of a run of addresses that aren't in places.
func missing(places []place, r pageindex.Run) []place {
	i, _ := slices.BinarySearchFunc(places, r.Page, func(pl place, a uint64) int { return cmp.Compare(pl.address+pl.pages, a+1) })
	var out []place
	address := r.Page
	for ; address < r.End() && i < len(places) && places[i].address < r.End(); i++ {
		if places[i].address > address {
			out = append(out, place{address: address, pages: places[i].address - address})
		}
		address = places[i].address + places[i].pages
	}
	if address < r.End() {
		out = append(out, place{address: address, pages: r.End() - address})
	}
	return out
}

// eachLocked calls f for the places of a run of addresses, in order. It
// returns an error when some aren't there.
func (p *pool) eachLocked(r pageindex.Run, f func(place) error) error {
	i, exact := slices.BinarySearchFunc(p.places, r.Page, func(pl place, a uint64) int { return cmp.Compare(pl.address, a) })
	if !exact {
		i--
	}
	for address := r.Page; address < r.End(); i++ {
		if i < 0 || i >= len(p.places) || address < p.places[i].address || address >= p.places[i].address+p.places[i].pages {
			return fmt.Errorf("%w: page %d isn't in the store", checkpoint.ErrDamaged, address)
		}
		pl := p.places[i]
		skip := address - pl.address
		n := min(pl.pages-skip, r.End()-address)
		if err := f(place{address, n, pl.seg, pl.at + skip}); err != nil {
			return err
		}
		address += n
	}
	return nil
}

// hold keeps the pages of an index until release. Pages that aren't there are
// passed over: verify finds them.
func (p *pool) hold(index []pageindex.Run) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range index {
		_ = p.eachLocked(r, func(pl place) error {
			pl.seg.ref(pl.at, pl.pages, true, nil)
			return nil
		})
	}
}

// release undoes a hold and gives back what nobody refers to any more.
func (p *pool) release(index []pageindex.Run) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var firstErr error
	for _, r := range index {
		_ = p.eachLocked(r, func(pl place) error {
			pl.seg.ref(pl.at, pl.pages, false, func(at, pages uint64) {
				if pl.seg.live > 0 && !pl.seg.moving {
					firstErr = cmp.Or(firstErr, pl.seg.punch(at, pages))
				}
			})
			return nil
		})
	}
	return cmp.Or(firstErr, p.sweepLocked())
}

// sweepLocked removes the segments without a page that is referred to.
func (p *pool) sweepLocked() error {
	var firstErr error
	p.segments = slices.DeleteFunc(p.segments, func(s *segment) bool {
		if s.live > 0 {
			return false
		}
		firstErr = cmp.Or(firstErr, p.removeLocked(s))
		return true
	})
	p.places = slices.DeleteFunc(p.places, func(pl place) bool { return pl.seg.removed })
	return firstErr
}

// removeLocked deletes a segment. The caller takes it out of the lists.
func (p *pool) removeLocked(s *segment) error {
	s.removed = true
	p.cache.forget(s)
	err := p.files.remove(s)
	if s.readers == 0 {
		err = cmp.Or(err, s.f.Close())
	}
	return err
}

// settle gives back all that isn't held, after a store was opened.
func (p *pool) settle() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var firstErr error
	for _, s := range p.segments {
		firstErr = cmp.Or(firstErr, s.punchDead())
	}
	return cmp.Or(firstErr, p.sweepLocked())
}

// verify reads all pages of an index, in the order in which they lie. Errors:
// ErrDamaged, ctx's.
func (p *pool) verify(ctx context.Context, index []pageindex.Run) error {
	p.mu.Lock()
	wanted, err := p.whereLocked(index)
	p.pinLocked(slices.Collect(maps.Keys(wanted)))
	p.mu.Unlock()
	defer p.unpin(slices.Collect(maps.Keys(wanted)))
	buf := make([]byte, chunkPages*pageSize)
	for s, pages := range wanted {
		if err == nil {
			err = s.verify(ctx, pages, buf)
		}
	}
	return err
}

// whereLocked says which pages of which segments an index needs.
func (p *pool) whereLocked(index []pageindex.Run) (map[*segment]*pageset.Set, error) {
	wanted := make(map[*segment]*pageset.Set)
	for _, r := range index {
		err := p.eachLocked(r, func(pl place) error {
			if wanted[pl.seg] == nil {
				wanted[pl.seg] = new(pageset.Set)
			}
			wanted[pl.seg].Add(pl.at, pl.pages)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return wanted, nil
}

// pinLocked keeps the files of segments open that may be removed meanwhile.
func (p *pool) pinLocked(segments []*segment) {
	for _, s := range segments {
		s.readers++
	}
}

// unpin undoes pinLocked.
func (p *pool) unpin(segments []*segment) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range segments {
		if s.readers--; s.readers == 0 && s.removed {
			s.f.Close()
		}
	}
}

// read fills b with the pages of a run of addresses, from a byte on.
func (p *pool) read(b []byte, r pageindex.Run, skip uint64) error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.eachLocked(r, func(pl place) error {
		n := min(pl.pages*pageSize-skip, uint64(len(b)))
		if err := pl.seg.read(b[:n], pl.at, skip); err != nil {
			return err
		}
		b, skip = b[n:], 0
		return nil
	})
}

// compare reads all pages of an index and compares them with a file. Errors:
// ErrMissed, ctx's.
func (p *pool) compare(ctx context.Context, index []pageindex.Run, full *os.File) error {
	// What a copy will be given later is what is in the files then.
	defer p.cache.clear()
	pages := newPageReader(p, index)
	if stat, err := full.Stat(); err != nil || stat.Size() != pages.Size() {
		return fmt.Errorf("%w: it has %d bytes of memory: %v, %v", checkpoint.ErrMissed, pages.Size(), stat, err)
	}
	got, want := make([]byte, chunkPages*pageSize), make([]byte, chunkPages*pageSize)
	for at := int64(0); at < pages.Size(); at += int64(len(got)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(int64(len(got)), pages.Size()-at)
		if _, err := pages.ReadAt(got[:n], at); err != nil {
			return err
		}
		if _, err := full.ReadAt(want[:n], at); err != nil {
			return fmt.Errorf("read all of memory: %w", err)
		}
		if !bytes.Equal(got[:n], want[:n]) {
			return fmt.Errorf("%w: pages %v", checkpoint.ErrMissed, differences(got[:n], want[:n], at/pageSize))
		}
	}
	return nil
}

// differences names the pages that differ, the first few of them.
func differences(got, want []byte, first int64) []int64 {
	var out []int64
	for at := 0; at < len(got) && len(out) < 16; at += pageSize {
		if !bytes.Equal(got[at:at+pageSize], want[at:at+pageSize]) {
			out = append(out, first+int64(at/pageSize))
		}
	}
	return out
}

// usage is what the segments take, and what of it is referred to.
func (p *pool) usage() checkpoint.Usage {
	p.mu.RLock()
	defer p.mu.RUnlock()
	var u checkpoint.Usage
	for _, s := range p.segments {
		u.Bytes += s.taken()
		u.Live += s.liveBytes()
	}
	return u
}

// size is what the pages of an index take, in bytes.
func (p *pool) size(index []pageindex.Run) int64 {
	p.mu.RLock()
	defer p.mu.RUnlock()
	bytes := int64(0)
	for _, r := range index {
		_ = p.eachLocked(r, func(pl place) error {
			bytes += pl.seg.share(pl.pages)
			return nil
		})
	}
	return bytes
}

// use is hold for as long as something is open: the files stay open with it.
func (p *pool) use(index []pageindex.Run) {
	p.hold(index)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.users++
}

// done undoes a use.
func (p *pool) done(index []pageindex.Run) error {
	err := p.release(index)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.users--
	p.closeLocked()
	return err
}

// end ends compaction, and closes the files once nothing is open. It removes
// none.
func (p *pool) end() {
	p.compactor.stop()
	p.aside.end()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.closeLocked()
}

func (p *pool) closeLocked() {
	if !p.closed || p.users > 0 {
		return
	}
	for _, s := range p.segments {
		s.f.Close()
	}
	p.segments, p.places = nil, nil
}

// readPages fills b with the pages of a run of addresses, and sums with what
// their hashes are to be. Errors: ErrDamaged.
func (p *pool) readPages(b []byte, r pageindex.Run, sums []uint64) error {
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
func (p *pool) sums(r pageindex.Run, sums []uint64) error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.eachLocked(r, func(pl place) error {
		sums = sums[copy(sums, pl.seg.sums[pl.at:pl.at+pl.pages]):]
		return nil
	})
}

// has reports whether the pages of an index are there.
func (p *pool) has(index []pageindex.Run) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	for _, r := range index {
		if p.eachLocked(r, func(place) error { return nil }) != nil {
			return false
		}
	}
	return true
}

// Segment is a segment as inspection sees it.
type Segment struct {
	ID    uint64
	Pages int   // that it holds
	Live  int   // of these, those that are referred to
	Taken int64 // bytes of the file system or of memory
	Stuck bool  // it couldn't be rewritten
}

// inspect lists the segments.
func (p *pool) inspect() []Segment {
	p.mu.RLock()
	defer p.mu.RUnlock()
	var all []Segment
	for _, s := range p.segments {
		all = append(all, Segment{s.id, len(s.sums), int(s.live), s.taken(), s.stuck})
	}
	return all
}

// stored returns the bytes that are stored for the page at an address: the
// page's own, or its frame's. The file is the pool's.
func (p *pool) stored(address uint64) (f *os.File, at, size int64, err error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	err = p.eachLocked(pageindex.Run{Page: address, Pages: 1}, func(pl place) error {
		f, at, size = pl.seg.f, int64(pl.at*pageSize), pageSize
		if fs := pl.seg.frames; fs != nil {
			frame := pl.at / framePages
			if at = 0; frame > 0 {
				at = fs.ends[frame-1]
			}
			size = fs.ends[frame] - at
		}
		return nil
	})
	return f, at, size, err
}
