package schedule

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"runsc-recover/checkpoint"
)

// maxRatio bounds how many times older a kept checkpoint may be than the next
// younger one that is kept. With it, 8 checkpoints taken a second apart reach
// back between 5 and 14 minutes, whatever the container's age: going back by
// hours is no recovery any more.
const maxRatio = 6

// retain has the checkpoints removed that needn't be kept any more.
func (m *machine) retain() {
	_, gone := Retain(m.in.Now, m.s.Kept, m.in.Config.Retain, m.in.Pinned)
	if len(gone) == 0 {
		m.lookAtLimit(Trimming)
		return
	}
	r := Remove{For: ForRetention}
	for _, d := range gone {
		// A recovery that begins now must not count on the checkpoint.
		m.do(Forget{Seq: d.Seq})
		r.Seqs, r.Reasons = append(r.Seqs, d.Seq), append(r.Reasons, d.Reasons...)
	}
	m.s.Phase = Retaining
	m.do(r)
}

// retained goes on once the checkpoints are removed. Those that are still there
// are tried again after the next checkpoint.
func retained(m *machine, e Removed) {
	switch e.For {
	case ForRetention:
		for _, seq := range e.Seqs {
			if !slices.Contains(e.Failed, seq) {
				m.drop(seq)
			}
		}
		m.lookAtLimit(Trimming)
	case ForOvertaken:
		m.s.Phase = Idle
		m.goOn()
	default:
		removedAside(m, e)
	}
}

// forget takes a checkpoint off the lineage and out of those kept.
func (m *machine) forget(seq checkpoint.Seq) {
	m.drop(seq)
	m.do(Forget{Seq: seq})
}

func (m *machine) drop(seq checkpoint.Seq) {
	m.s.Kept = slices.DeleteFunc(m.s.Kept, func(k checkpoint.Manifest) bool { return k.Seq == seq })
	delete(m.s.Stops, seq)
}

func forgotten(m *machine, e Forgotten) {
	for _, seq := range e.Seqs {
		m.drop(seq)
	}
}

// Decision is a checkpoint that is kept or dropped, with the reasons.
type Decision struct {
	Seq     checkpoint.Seq
	Reasons []string
}

// Retain says which n checkpoints are kept, and which are dropped. Checkpoints are
// dropped singly while there are more than n: the next is the checkpoint whose
// going leaves the smallest gap in proportion to the gap's age. The rest lies
// close together near now and ever further apart behind, and stays so when Retain
// decides again later about that rest. When each gap would be wider than maxRatio
// allows, the oldest is dropped instead.
//
// The newest and those in pinned are always kept, even if that is more than n.
// All triggers count the same. The order of manifests doesn't matter.
func Retain(now time.Time, manifests []checkpoint.Manifest, n int, pinned map[checkpoint.Seq]bool) (keep, drop []Decision) {
	kept := aged(now, manifests)
	for len(kept) > max(n, 1) {
		i, why := leastMissed(kept, pinned)
		if i < 0 {
			break
		}
		drop = append(drop, Decision{kept[i].seq, []string{fmt.Sprintf("%d are to be kept; %s", n, why)}})
		kept = slices.Delete(kept, i, i+1)
	}
	for i, k := range kept {
		keep = append(keep, Decision{k.seq, whyKept(kept, i, n, pinned)})
	}
	slices.SortFunc(drop, func(a, b Decision) int { return cmp.Compare(a.Seq, b.Seq) })
	return keep, drop
}

// dated is a checkpoint with its age.
type dated struct {
	seq checkpoint.Seq
	age time.Duration
}

// aged returns the checkpoints by number, the oldest first. Their ages fall in
// that order, even if the wall clock was set back meanwhile.
func aged(now time.Time, manifests []checkpoint.Manifest) []dated {
	var out []dated
	for _, m := range manifests {
		out = append(out, dated{m.Seq, max(0, now.Sub(m.TakenAt))})
	}
	slices.SortFunc(out, func(a, b dated) int { return cmp.Compare(a.seq, b.seq) })
	for i := len(out) - 2; i >= 0; i-- {
		out[i].age = max(out[i].age, out[i+1].age)
	}
	return out
}

// leastMissed is the index of the checkpoint to drop next, and why; -1 if none
// may be dropped.
func leastMissed(kept []dated, pinned map[checkpoint.Seq]bool) (int, string) {
	best, smallest := -1, 2.0
	for i := 1; i < len(kept)-1; i++ {
		if gap := gapWithout(kept, i); !pinned[kept[i].seq] && gap < smallest {
			best, smallest = i, gap
		}
	}
	const widest = 1 - 1.0/maxRatio
	if (best < 0 || smallest > widest) && len(kept) > 1 && !pinned[kept[0].seq] {
		return 0, "it is the oldest, and without any other the gap would be too wide"
	}
	if best < 0 {
		return -1, ""
	}
	return best, fmt.Sprintf("%v old, it is the least missed between %v and %v",
		round(kept[best].age), round(kept[best-1].age), round(kept[best+1].age))
}

// gapWithout is the gap left by dropping i, as a share of its far end's age.
func gapWithout(kept []dated, i int) float64 {
	far, near := kept[i-1].age, kept[i+1].age
	if far == 0 {
		return 0
	}
	return float64(far-near) / float64(far)
}

func whyKept(kept []dated, i, n int, pinned map[checkpoint.Seq]bool) []string {
	var why []string
	if pinned[kept[i].seq] {
		why = append(why, "the open episode may need it")
	}
	switch {
	case i == len(kept)-1:
		why = append(why, "the newest")
	case i == 0:
		why = append(why, fmt.Sprintf("the oldest, %v old", round(kept[i].age)))
	case len(kept) < n:
		why = append(why, fmt.Sprintf("there is room for %d", n))
	default:
		why = append(why, fmt.Sprintf("%v old, the next ones are %v and %v old",
			round(kept[i].age), round(kept[i-1].age), round(kept[i+1].age)))
	}
	return why
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Millisecond) }
