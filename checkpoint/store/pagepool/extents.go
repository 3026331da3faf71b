package pagepool

import (
	"cmp"
	"fmt"
	"slices"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/pageindex"
)

// extent is a run of addresses whose pages follow each other in a segment.
type extent struct {
	address, pages uint64
	seg            *segment
	at             uint64 // the first one's number in seg
}

// end is the address after the last.
func (e extent) end() uint64 { return e.address + e.pages }

// extentTable finds pages by address. Its extents are in ascending order.
type extentTable []extent

// add enters the pages of a segment, but for those at addresses that are in the
// table already.
func (t *extentTable) add(s *segment, addresses []pageindex.Run) {
	at, known := uint64(0), *t
	for _, r := range addresses {
		for _, e := range known.missing(r) {
			e.seg, e.at = s, at+e.address-r.Page
			*t = append(*t, e)
		}
		at += r.Pages
	}
	slices.SortFunc(*t, func(a, b extent) int { return cmp.Compare(a.address, b.address) })
}

// missing returns the parts of a run of addresses that aren't in the table, as
// extents without a segment.
func (t extentTable) missing(r pageindex.Run) []extent {
	i, _ := slices.BinarySearchFunc(t, r.Page, func(e extent, address uint64) int { return cmp.Compare(e.end(), address+1) })
	var out []extent
	address := r.Page
	for ; address < r.End() && i < len(t) && t[i].address < r.End(); i++ {
		if t[i].address > address {
			out = append(out, extent{address: address, pages: t[i].address - address})
		}
		address = t[i].end()
	}
	if address < r.End() {
		out = append(out, extent{address: address, pages: r.End() - address})
	}
	return out
}

// each calls f for the extents of a run of addresses, in order, until f returns
// an error. Errors: ErrDamaged at an address that isn't in the table, f's.
func (t extentTable) each(r pageindex.Run, f func(extent) error) error {
	i, exact := slices.BinarySearchFunc(t, r.Page, func(e extent, address uint64) int { return cmp.Compare(e.address, address) })
	if !exact {
		i--
	}
	for address := r.Page; address < r.End(); i++ {
		if i < 0 || i >= len(t) || address < t[i].address || address >= t[i].end() {
			return fmt.Errorf("%w: page %d isn't in the store", checkpoint.ErrDamaged, address)
		}
		skip := address - t[i].address
		n := min(t[i].pages-skip, r.End()-address)
		if err := f(extent{address, n, t[i].seg, t[i].at + skip}); err != nil {
			return err
		}
		address += n
	}
	return nil
}

// dropRemoved drops the extents of removed segments.
func (t *extentTable) dropRemoved() {
	*t = slices.DeleteFunc(*t, func(e extent) bool { return e.seg.removed })
}
