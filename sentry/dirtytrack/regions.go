package dirtytrack

import (
	"slices"

	"gvisor.dev/gvisor/pkg/hostarch"

	"runsc-recover/checkpoint/pageset"
)

// region is a range of a program's addresses that the memory manager granted
// for writing, and that is mapped in its stub process: for writing where it is
// open, else for reading.
type region struct {
	start, end uint64
	grant
	open bool
	// kept is set in the result of keep alone.
	kept bool
}

// grant is a mapping that the memory manager made. Two regions of one grant are
// pieces of it.
type grant struct {
	mapping mapping
	base    uint64 // file offset less address
	at      hostarch.AccessType
}

func (r region) length() uint64 { return r.end - r.start }

// offset is where in the file an address of the region is.
func (r region) offset(address uint64) uint64 { return r.base + address }

// regions are a program's regions, ascending and apart.
type regions []region

// find returns the index of the first region that ends after address.
func (rs regions) find(address uint64) int {
	i, _ := slices.BinarySearchFunc(rs, address, func(r region, a uint64) int {
		if r.end <= a {
			return -1
		}
		return 1
	})
	return i
}

// at returns the region of an address.
func (rs regions) at(address uint64) (region, bool) {
	if i := rs.find(address); i < len(rs) && rs[i].start <= address {
		return rs[i], true
	}
	return region{}, false
}

// overlap returns the indices of the regions that overlap a range.
func (rs regions) overlap(start, end uint64) (from, to int) {
	from = rs.find(start)
	for to = from; to < len(rs) && rs[to].start < end; to++ {
	}
	return from, to
}

// remove takes a range out.
func (rs *regions) remove(start, end uint64) {
	from, to := rs.overlap(start, end)
	if from == to {
		return
	}
	var rest []region
	if r := (*rs)[from]; r.start < start {
		r.end = start
		rest = append(rest, r)
	}
	if r := (*rs)[to-1]; r.end > end {
		r.start = end
		rest = append(rest, r)
	}
	*rs = slices.Replace(*rs, from, to, rest...)
}

// set puts a region in the place of those that were there, as part of its
// neighbours where that can be.
func (rs *regions) set(r region) {
	rs.remove(r.start, r.end)
	i := rs.find(r.start)
	from, to := i, i
	same := func(n region) bool { return n.grant == r.grant && n.open == r.open }
	if i > 0 && (*rs)[i-1].end == r.start && same((*rs)[i-1]) {
		from--
		r.start = (*rs)[from].start
	}
	if i < len(*rs) && (*rs)[i].start == r.end && same((*rs)[i]) {
		to++
		r.end = (*rs)[i].end
	}
	*rs = slices.Replace(*rs, from, to, r)
}

// missing calls f with the parts of a range that aren't pieces of g.
func (rs regions) missing(start, end uint64, g grant, f func(start, end uint64)) {
	from, to := rs.overlap(start, end)
	for _, r := range rs[from:to] {
		if r.grant != g {
			continue
		}
		if r.start > start {
			f(start, r.start)
		}
		start = max(start, r.end)
	}
	if start < end {
		f(start, end)
	}
}

// keep returns the regions with those pieces apart, and marked as kept, that
// are open and hot pages of a file, or less than gap bytes between two of them.
// They are no more than budget bytes.
func (rs regions) keep(f *file, hot *pageset.Set, gap, budget uint64) (split regions, kept uint64) {
	for _, r := range rs {
		if r.mapping.file == f && r.open {
			for _, w := range r.hot(hot, gap) {
				length := w.end - w.start
				if kept+length > budget {
					break
				}
				kept += length
				before, piece := r, r
				before.end, piece.start, piece.end, r.start = w.start, w.start, w.end, w.end
				piece.kept = true
				split = split.add(before).add(piece)
			}
		}
		split = split.add(r)
	}
	return split, kept
}

// add appends a region that isn't empty.
func (rs regions) add(r region) regions {
	if r.length() == 0 {
		return rs
	}
	return append(rs, r)
}

// hot returns the hot pages of a region as ranges of addresses more than gap
// apart.
func (r region) hot(pages *pageset.Set, gap uint64) (ranges []window) {
	for page, n := range pages.Runs(r.offset(r.start)/pageSize, r.offset(r.end)/pageSize) {
		w := window{start: page*pageSize - r.base, end: (page+n)*pageSize - r.base}
		if last := len(ranges) - 1; last >= 0 && w.start-ranges[last].end < gap {
			ranges[last].end = w.end
			continue
		}
		ranges = append(ranges, w)
	}
	return ranges
}

// spans returns ranges that hold all open pieces of a file's mappings that
// aren't kept, and as few as there can be without one of them being gap bytes
// of closed pieces or holding anything else.
func (rs regions) spans(f *file, gap uint64) []region {
	var out []region
	var last *region // the span that the regions before belong to
	var reach uint64 // up to where they follow each other without a hole
	for _, r := range rs {
		if last != nil && (r.start != reach || r.grant != last.grant || r.kept) {
			last = nil
		}
		if r.mapping.file != f || r.kept {
			continue
		}
		reach = r.end
		switch {
		case !r.open:
		case last != nil && r.start-last.end < gap:
			last.end = r.end
		default:
			out = append(out, r)
			last = &out[len(out)-1]
		}
	}
	return out
}
