package schedule

import (
	"time"

	"runsc-recover/checkpoint"
)

// A program must not be killed for memory that only its checkpoints need. So
// its use is looked at the more often the closer it comes to the limit, and
// memory is given back before it gets there.
const (
	// fastestGrowth bounds how fast programs are expected to take memory, in
	// bytes a second: one that does nothing else was seen to take 1.3 GiB.
	fastestGrowth = 2 << 30
	// reliefTime is how long it may take to give memory back, on a busy host.
	reliefTime = 150 * time.Millisecond
	// pressureMargin is the share of the limit that is kept free.
	pressureMargin = 1. / 16
	// minLook and maxLook bound the time between two looks.
	minLook = 10 * time.Millisecond
	maxLook = time.Second
)

// Memory is what a container uses of its memory limit, in bytes. Checkpoints that
// are kept in memory count: the sandbox writes them.
type Memory struct {
	Used  uint64 // without what the kernel can take back at once
	Limit uint64 // 0 for none
}

// Pressure is what a container uses of its memory limit, in bytes.
type Pressure struct {
	Limit uint64 // 0 for none
	Used  uint64 // what can't be taken back
	// Before is what it used Elapsed ago; an Elapsed of 0 says that it isn't
	// known.
	Before  uint64
	Elapsed time.Duration
}

// Relief is how much is to be given back now, in bytes, and when to look again.
func (p Pressure) Relief() (need uint64, again time.Duration) {
	if p.Limit == 0 {
		return 0, maxLook
	}
	free := float64(p.Limit)*(1-pressureMargin) - float64(p.Used)
	grows := 0. // until relief has come
	if p.Used > p.Before && p.Elapsed > 0 {
		grows = float64(p.Used-p.Before) * float64(reliefTime) / float64(p.Elapsed)
	}
	if grows > free {
		return uint64(grows - free), minLook
	}
	// Half of what it takes at the fastest: a look may come late.
	reached := time.Duration(free / fastestGrowth * float64(time.Second))
	return 0, min(max(reached/2, minLook), maxLook)
}

// GiveBack says which checkpoints go, to make up for need bytes of memory: the
// oldest first, those that are needed never. The newest goes too when the
// others aren't enough: all of memory is in it once. Manifests are by ascending
// number.
func GiveBack(need uint64, manifests []checkpoint.Manifest, needed map[checkpoint.Seq]bool) []checkpoint.Seq {
	var gone []checkpoint.Seq
	freed := int64(0)
	for i, m := range manifests {
		if uint64(freed) >= need {
			break
		}
		if needed[m.Seq] {
			continue
		}
		gone = append(gone, m.Seq)
		if i < len(manifests)-1 {
			// Pages are shared: only what the next one replaced is free.
			freed += min(m.Pages.Bytes, manifests[i+1].Pages.Changed)
		}
	}
	return gone
}
