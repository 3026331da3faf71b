package pagepool

import (
	"cmp"
	"slices"
)

// Compaction keeps the room that segments take within spaceFactor times the
// room of referenced pages, and spaceSlack; and the number of segments within
// maxSegments and twice the number that full segments would need.
const (
	spaceFactor = 1.5
	spaceSlack  = 16 << 20
	maxSegments = 64
)

// segmentUse is a segment as the choice for compaction sees it.
type segmentUse struct {
	taken, live      int64  // bytes: all of the segment's, and of referenced pages
	pages, livePages uint64 // likewise in pages
}

// waste is the unreferenced share of the room that the segment takes.
func (u segmentUse) waste() float64 { return 1 - float64(u.live)/float64(max(u.taken, 1)) }

// choose returns the segments to be rewritten into one, by their position: the
// most wasteful when too much room is wasted, else the smallest when there are
// too many; none when rewriting isn't worth it. A thorough choice is of all
// segments with unreferenced pages. The referenced pages of those chosen fit
// into one segment.
func choose(all []segmentUse, thorough bool) []int {
	var taken, live int64
	var livePages uint64
	for _, u := range all {
		taken, live, livePages = taken+u.taken, live+u.live, livePages+u.livePages
	}
	order := make([]int, len(all))
	for i := range order {
		order[i] = i
	}
	most := int(maxSegments + 2*livePages/segmentPages)
	switch {
	case thorough:
		order = slices.DeleteFunc(order, func(i int) bool { return all[i].livePages == all[i].pages })
	case float64(taken) > spaceFactor*float64(live)+spaceSlack:
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(all[b].waste(), all[a].waste()) })
		order = slices.DeleteFunc(order, func(i int) bool { return all[i].waste() < 0.25 })
	case len(all) > most:
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(all[a].livePages, all[b].livePages) })
		order = order[:len(all)-most/2]
	default:
		return nil
	}
	sum := uint64(0)
	for n, i := range order {
		if sum += all[i].livePages; sum > segmentPages {
			return order[:n]
		}
	}
	return order
}
