// Package pageindex is the format of page indexes: gVisor's pages file is the
// contents of all committed pages in the order of its memory metadata, and an
// index lists that order as runs of pages, each of which is found somewhere
// else. Two kinds of index share the format:
//
//   - a sandbox hands one out beside a checkpoint: each run is in the parent, at
//     a page of the parent's own pages file, or was staged;
//   - a store keeps another, which Resolve makes of the first: each run has an
//     address in the store, whichever checkpoint it was first part of.
//
// Loaded is the way back: the places at which a restored sandbox has the pages.
//
// Both formats come from peers that may be hostile. Decoding them takes memory
// in proportion to the bytes that there are, and its results are consistent.
//
// It must not know gVisor, nor how pages are stored. The package has no locks
// and starts no goroutines.
package pageindex

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// PageSize is the only size of a page that gVisor can save.
const PageSize = 4096

// Source is the origin that a run's Page counts from.
type Source uint8

// The sources. A store's index has only Parent's number, for addresses.
const (
	Parent Source = iota // pages of the parent's pages file
	Staged               // pages of the staging file
)

// Run is a number of pages that follow each other both in the pages file and
// at their source.
type Run struct {
	Source Source
	Page   uint64
	Pages  uint64
}

// End is the page after the last.
func (r Run) End() uint64 { return r.Page + r.Pages }

// Append adds a run to an index, as part of the last one where it can be.
func Append(index []Run, r Run) []Run {
	if n := len(index); n > 0 && index[n-1].Source == r.Source && index[n-1].End() == r.Page {
		index[n-1].Pages += r.Pages
		return index
	}
	return append(index, r)
}

// Pages is the number of pages that an index describes.
func Pages(index []Run) uint64 {
	var n uint64
	for _, r := range index {
		n += r.Pages
	}
	return n
}

// ErrMalformed: bytes aren't an index. It is wrapped.
var ErrMalformed = errors.New("page index is malformed")

// The format, with integers as varints:
//
//	magic, version     8 bytes
//	number of runs
//	for each run       pages<<1 | source, signed distance of its page from the
//	                   end of the last run of the same source
//	XXH64 of the above 8 bytes, little-endian
const (
	magic   = "rrindex\x01"
	sumSize = 8
	// maxPage bounds pages and addresses, so that no sum of two overflows.
	maxPage = 1 << 51
)

// AppendTo encodes an index at the end of b.
func AppendTo(b []byte, index []Run) []byte {
	start := len(b)
	b = append(b, magic...)
	b = binary.AppendUvarint(b, uint64(len(index)))
	var next [2]uint64
	for _, r := range index {
		b = binary.AppendUvarint(b, r.Pages<<1|uint64(r.Source))
		b = binary.AppendVarint(b, int64(r.Page-next[r.Source]))
		next[r.Source] = r.End()
	}
	return binary.LittleEndian.AppendUint64(b, xxhash.Sum64(b[start:]))
}

// Decode is the inverse of AppendTo. The bytes may be hostile: the result
// takes at most 12 times their size, and its sums of pages don't overflow.
// Errors: ErrMalformed.
func Decode(b []byte) ([]Run, error) {
	if len(b) < len(magic)+sumSize || string(b[:len(magic)]) != magic {
		return nil, fmt.Errorf("%w: no magic", ErrMalformed)
	}
	body, sum := b[:len(b)-sumSize], b[len(b)-sumSize:]
	if xxhash.Sum64(body) != binary.LittleEndian.Uint64(sum) {
		return nil, fmt.Errorf("%w: wrong hash", ErrMalformed)
	}
	d := decoder{rest: body[len(magic):]}
	n := d.uvarint()
	if d.bad || n > uint64(len(d.rest))/2 {
		return nil, fmt.Errorf("%w: %d runs in %d bytes", ErrMalformed, n, len(d.rest))
	}
	index := make([]Run, 0, n)
	for range n {
		r, ok := d.run()
		if !ok {
			return nil, fmt.Errorf("%w: run %d", ErrMalformed, len(index))
		}
		index = append(index, r)
	}
	if len(d.rest) > 0 {
		return nil, fmt.Errorf("%w: %d bytes after the last run", ErrMalformed, len(d.rest))
	}
	return index, nil
}

type decoder struct {
	rest  []byte
	bad   bool
	next  [2]uint64
	total uint64
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.bad = true
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) run() (Run, bool) {
	head := d.uvarint()
	delta, n := binary.Varint(d.rest)
	if d.bad || n <= 0 {
		return Run{}, false
	}
	d.rest = d.rest[n:]
	r := Run{Source: Source(head & 1), Pages: head >> 1}
	r.Page = d.next[r.Source] + uint64(delta)
	if r.Pages == 0 || r.Pages > maxPage || r.Page > maxPage {
		return Run{}, false
	}
	if d.total += r.Pages; d.total > maxPage {
		return Run{}, false
	}
	d.next[r.Source] = r.End()
	return r, true
}

// Resolve turns a sandbox's index into a store's: staged page n has the address
// base+n, and a page of the parent the address in parent, a store's index. Errors: ErrMalformed when a run isn't there, or when the
// result has more than maxRuns.
func Resolve(index, parent []Run, base, staged uint64, maxRuns int) ([]Run, error) {
	p := newLookup(parent)
	out := make([]Run, 0, min(len(index), maxRuns))
	for _, r := range index {
		if len(out) > maxRuns {
			return nil, fmt.Errorf("%w: more than %d runs", ErrMalformed, maxRuns)
		}
		if r.Source == Staged {
			if r.End() > staged {
				return nil, fmt.Errorf("%w: page %d of %d staged", ErrMalformed, r.End()-1, staged)
			}
			out = Append(out, Run{Page: base + r.Page, Pages: r.Pages})
			continue
		}
		if r.End() > p.pages {
			return nil, fmt.Errorf("%w: page %d of %d in the parent", ErrMalformed, r.End()-1, p.pages)
		}
		p.each(r.Page, r.Pages, func(found Run) { out = Append(out, found) })
	}
	return out, nil
}

// Reader finds pages of one index, many times over. It is immutable.
type Reader struct{ lookup }

// NewReader returns a Reader of index, which must not change.
func NewReader(index []Run) *Reader { return &Reader{newLookup(index)} }

// Pages is the number of pages in the index.
func (r *Reader) Pages() uint64 { return r.pages }

// Each calls f with the runs that hold the pages from page to page+pages.
// Those beyond the index's end are left out.
func (r *Reader) Each(page, pages uint64, f func(Run)) { r.each(page, pages, f) }

// lookup finds the runs of an index by their place in the pages file.
type lookup struct {
	index  []Run
	starts []uint64 // of each run in the pages file
	pages  uint64
}

func newLookup(index []Run) lookup {
	l := lookup{index: index, starts: make([]uint64, len(index))}
	for i, r := range index {
		l.starts[i] = l.pages
		l.pages += r.Pages
	}
	return l
}

func (l *lookup) each(page, pages uint64, f func(Run)) {
	end := min(page+pages, l.pages)
	i, exact := slices.BinarySearch(l.starts, page)
	if !exact {
		i--
	}
	for page < end {
		r, skip := l.index[i], page-l.starts[i]
		n := min(r.Pages-skip, end-page)
		f(Run{Source: r.Source, Page: r.Page + skip, Pages: n})
		page += n
		i++
	}
}
