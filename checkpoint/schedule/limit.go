package schedule

import (
	"fmt"

	"runsc-recover/checkpoint"
)

// compactBelow is the share of the limit below which a store that is over it is
// compacted rather than emptied: compacting then gains enough for a while.
const compactBelow = 0.75

// Shrinking is the next thing to do about a store that is over its limit. The
// zero value is nothing.
type Shrinking struct {
	Drop    checkpoint.Seq // this checkpoint goes
	Compact bool           // the store is compacted
	Reasons []string
}

// Store is what Shrink decides on.
type Store struct {
	Limit int64 // in bytes, 0 for none
	Usage checkpoint.Usage
	// Coming is what is about to be added, as far as it is known.
	Coming int64
	// Manifests are the checkpoints by ascending number.
	Manifests []checkpoint.Manifest
	// Pinned are those that an open episode or a standby needs.
	Pinned map[checkpoint.Seq]bool
	// Compacted is set when the store has just been compacted.
	Compacted bool
}

// Shrink says what to do next to keep a store within its limit: the oldest
// checkpoint goes, or the room is given back that none needs any more. The
// newest and those that are pinned stay, even if that is too much. It is asked
// again when what it said is done.
func Shrink(s Store) Shrinking {
	over := s.Usage.Bytes + s.Coming - s.Limit
	if s.Limit == 0 || over <= 0 {
		return Shrinking{}
	}
	why := fmt.Sprintf("the store is %d KiB over its limit of %d MiB", over>>10, s.Limit>>20)
	roomy := float64(s.Usage.Live+s.Coming) <= compactBelow*float64(s.Limit)
	if roomy && !s.Compacted {
		return Shrinking{Compact: true, Reasons: []string{why, "what its checkpoints need is well within"}}
	}
	for i, m := range s.Manifests {
		if i < len(s.Manifests)-1 && !s.Pinned[m.Seq] {
			return Shrinking{Drop: m.Seq, Reasons: []string{why, "it is the oldest that isn't needed"}}
		}
	}
	if s.Usage.Live < s.Usage.Bytes && !s.Compacted {
		return Shrinking{Compact: true, Reasons: []string{why, "no checkpoint can go"}}
	}
	return Shrinking{}
}
