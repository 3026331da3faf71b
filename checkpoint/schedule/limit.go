package schedule

import (
	"fmt"

	"runsc-recover/checkpoint"
)

// lookAtLimit keeps the store within its limit, in the phase Shrinking, before a
// checkpoint is taken, or Trimming, after one.
func (m *machine) lookAtLimit(p Phase) {
	m.s.Phase, m.s.Compacted = p, false
	if m.in.Config.StoreLimit == 0 {
		m.limitKept()
		return
	}
	m.do(ReadUsage{})
}

// limitKept goes on once there is no more to do about the limit.
func (m *machine) limitKept() {
	if m.s.Phase == Shrinking {
		m.take()
		return
	}
	m.s.Phase = Idle
	m.goOn()
}

func shrink(m *machine, e UsageRead) {
	if e.Err != nil {
		m.limitKept() // a store that can't be read says so where it is written
		return
	}
	var coming int64
	if m.s.Phase == Shrinking {
		coming = m.s.newest().Bytes()
	}
	next := Shrink(Store{
		Limit: m.in.Config.StoreLimit, Usage: e.Usage, Coming: coming,
		Manifests: m.s.Kept, Pinned: m.in.Pinned, Compacted: m.s.Compacted,
	})
	switch {
	case next.Drop != 0:
		m.forget(next.Drop)
		m.do(Remove{For: ForLimit, Seqs: []checkpoint.Seq{next.Drop}, Reasons: next.Reasons})
	case next.Compact:
		m.s.Compacted = true
		m.do(Compact{For: ForLimit, Reasons: next.Reasons})
	default:
		m.limitKept()
	}
}

func shrunk(m *machine, e Removed) {
	switch {
	case e.For != ForLimit:
		removedAside(m, e)
	case len(e.Failed) > 0:
		m.limitKept()
	default:
		m.do(ReadUsage{})
	}
}

func shrinkCompacted(m *machine, e Compacted) {
	if e.For != ForLimit {
		compactedAside(m, e)
		return
	}
	m.do(ReadUsage{})
}

// compactBelow is the share of the limit below which a store that is over it is
// compacted rather than emptied: compacting then gains enough for a while.
const compactBelow = 0.75

// Reduction is the next thing to do about a store that is over its limit. The
// zero value is nothing.
type Reduction struct {
	Drop    checkpoint.Seq // the checkpoint to remove, 0 for none
	Compact bool           // the store is compacted
	Reasons []string
}

// Store holds the facts of Shrink's decision.
type Store struct {
	Limit int64 // in bytes, 0 for none
	Usage checkpoint.Usage
	// Coming is the size of the next checkpoint, in bytes, as far as it is known.
	Coming int64
	// Manifests are the checkpoints by ascending number.
	Manifests []checkpoint.Manifest
	// Pinned are those that an open episode or a standby needs.
	Pinned map[checkpoint.Seq]bool
	// Compacted is set when the store has just been compacted.
	Compacted bool
}

// Shrink names the next step that keeps a store within its limit: the oldest
// checkpoint goes, or the room is given back that no checkpoint needs any more.
// The newest and those that are pinned stay, even if that is too much. The caller
// asks again when the step is done.
func Shrink(s Store) Reduction {
	over := s.Usage.Bytes + s.Coming - s.Limit
	if s.Limit == 0 || over <= 0 {
		return Reduction{}
	}
	why := fmt.Sprintf("the store is %d KiB over its limit of %d MiB", over>>10, s.Limit>>20)
	roomy := float64(s.Usage.Live+s.Coming) <= compactBelow*float64(s.Limit)
	if roomy && !s.Compacted {
		return Reduction{Compact: true, Reasons: []string{why, "the checkpoints themselves are well within"}}
	}
	for i, m := range s.Manifests {
		if i < len(s.Manifests)-1 && !s.Pinned[m.Seq] {
			return Reduction{Drop: m.Seq, Reasons: []string{why, "it is the oldest that isn't needed"}}
		}
	}
	if s.Usage.Live < s.Usage.Bytes && !s.Compacted {
		return Reduction{Compact: true, Reasons: []string{why, "no checkpoint can go"}}
	}
	return Reduction{}
}
