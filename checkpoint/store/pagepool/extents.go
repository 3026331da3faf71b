package pagepool

import (
	"cmp"
	"fmt"
	"slices"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/pageindex"
)

// extent says where the pages from an address on are.
type extent struct {
	address, pages uint64
	seg            *segment
	at             uint64 // page of seg
}

// missing returns the parts of a run of addresses that aren't in places.
func missing(places []extent, r pageindex.Run) []extent {
	i, _ := slices.BinarySearchFunc(places, r.Page, func(pl extent, a uint64) int { return cmp.Compare(pl.address+pl.pages, a+1) })
	var out []extent
	address := r.Page
	for ; address < r.End() && i < len(places) && places[i].address < r.End(); i++ {
		if places[i].address > address {
			out = append(out, extent{address: address, pages: places[i].address - address})
		}
		address = places[i].address + places[i].pages
	}
	if address < r.End() {
		out = append(out, extent{address: address, pages: r.End() - address})
	}
	return out
}

// adoptLocked makes a segment's pages known, but for those that are elsewhere
// already.
func (p *Pool) adoptLocked(s *segment, addresses []pageindex.Run) {
	p.segments = append(p.segments, s)
	p.lastID = max(p.lastID, s.id)
	at, known := uint64(0), p.extents
	for _, r := range addresses {
		p.next = max(p.next, r.End())
		for _, pl := range missing(known, r) {
			pl.seg, pl.at = s, at+pl.address-r.Page
			p.extents = append(p.extents, pl)
		}
		at += r.Pages
	}
	p.sortLocked()
}

func (p *Pool) sortLocked() {
	slices.SortFunc(p.extents, func(a, b extent) int { return cmp.Compare(a.address, b.address) })
}

// eachLocked calls f for the places of a run of addresses, in order. It
// returns an error when some aren't there.
func (p *Pool) eachLocked(r pageindex.Run, f func(extent) error) error {
	i, exact := slices.BinarySearchFunc(p.extents, r.Page, func(pl extent, a uint64) int { return cmp.Compare(pl.address, a) })
	if !exact {
		i--
	}
	for address := r.Page; address < r.End(); i++ {
		if i < 0 || i >= len(p.extents) || address < p.extents[i].address || address >= p.extents[i].address+p.extents[i].pages {
			return fmt.Errorf("%w: page %d isn't in the store", checkpoint.ErrDamaged, address)
		}
		pl := p.extents[i]
		skip := address - pl.address
		n := min(pl.pages-skip, r.End()-address)
		if err := f(extent{address, n, pl.seg, pl.at + skip}); err != nil {
			return err
		}
		address += n
	}
	return nil
}
