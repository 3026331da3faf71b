package schedule

import (
	"fmt"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/config"
)

// roomMargin is the room that a checkpoint may need beyond the size of the last
// one, in bytes: checkpoints grow with the program, and the kernel counts its own
// work too.
const roomMargin = 16 << 20

// A checkpoint must not run the container out of its memory: a program must not
// be killed for memory that only its checkpoints need. Checkpoints on disk count
// too while they are taken. So staging memory is given back, which makes the next
// pause longer, old checkpoints go that are in memory, and a checkpoint for which
// there is no room even then is refused.

// lookForRoom begins an attempt.
func (m *machine) lookForRoom() {
	if !m.in.Limited {
		m.lookAtLimit(Shrinking)
		return
	}
	m.s.Phase, m.s.Compacted = FindingRoom, false
	m.do(ReadMemory{})
}

func findRoom(m *machine, e MemoryRead) {
	switch {
	case m.overtaken():
		m.overtake()
		return
	case e.Err != nil && m.in.Config.Durability == config.DurabilityDisk:
		m.lookAtLimit(Shrinking) // memory that it takes is given back at once
		return
	case e.Err != nil:
		m.fail(fmt.Errorf("read memory use: %w", e.Err))
		return
	}
	m.s.Use = e.Use
	// Memory that the program took since the last one has all changed.
	grown := e.Use.Used - min(e.Use.Used, m.s.UsedBefore+uint64(m.s.newest().Bytes()))
	inMemory := m.in.Config.Durability == config.DurabilityMemory
	drop, ok := roomFor(e.Use, grown, m.s.Kept, m.in.Pinned, inMemory)
	switch {
	case ok:
		m.s.UsedBefore = e.Use.Used
		m.lookAtLimit(Shrinking)
	case drop != 0:
		m.forget(drop)
		m.do(Remove{For: ForRoom, Seqs: []checkpoint.Seq{drop}, Reasons: []string{"the next one has no room in the memory limit"}})
	default:
		m.noRoom()
	}
}

// noRoom gives staging memory back, and the standby's, before the checkpoint is
// refused.
func (m *machine) noRoom() {
	if !m.s.Tight {
		m.s.Tight = true
		m.do(Warn{Text: fmt.Sprintf("the memory limit of %d MiB, of which %d MiB are used, leaves little room: memory for checkpoints is given back after each, and pauses are longer",
			m.s.Use.Limit>>20, m.s.Use.Used>>20)})
	}
	if !m.s.Compacted {
		m.s.Compacted = true
		m.do(Compact{For: ForRoom, Reasons: []string{"the next checkpoint has no room in the memory limit"}})
		return
	}
	if m.in.Standby {
		m.do(DropStandby{Reason: "a checkpoint needs its room"})
	}
	m.refuseRoom()
}

func (m *machine) refuseRoom() {
	m.fail(fmt.Errorf("%w: the container uses %d MiB of its memory limit of %d MiB", checkpoint.ErrFull, m.s.Use.Used>>20, m.s.Use.Limit>>20))
}

func roomMade(m *machine, e Removed) {
	switch {
	case e.For != ForRoom:
		removedAside(m, e)
	case len(e.Failed) > 0:
		m.lookAtLimit(Shrinking)
	default:
		m.do(ReadMemory{})
	}
}

func roomCompacted(m *machine, e Compacted) {
	switch {
	case e.For != ForRoom:
		compactedAside(m, e)
	case e.Err == nil:
		m.do(ReadMemory{})
	case m.overtaken():
		m.overtake()
	default:
		m.refuseRoom()
	}
}

// roomFor reports whether there is room for a checkpoint that is larger than the
// newest by grown bytes, or else which checkpoint goes, 0 for none. The newest
// stays, since the next would have to be whole without it, and so do those
// pinned. Only those in memory make room, and how much turns out when they are
// gone.
func roomFor(use Memory, grown uint64, manifests []checkpoint.Manifest, pinned map[checkpoint.Seq]bool, inMemory bool) (drop checkpoint.Seq, ok bool) {
	// Nothing is known of the first one's size but that all in use may be in it.
	need := use.Used
	if n := len(manifests); n > 0 {
		need = uint64(manifests[n-1].Staged()) + grown
	}
	need += need/8 + roomMargin
	// The program may be growing.
	if use.Limit == 0 || use.Used+need <= use.Limit-use.Limit/8 {
		return 0, true
	}
	for i, m := range manifests {
		if inMemory && i < len(manifests)-1 && !pinned[m.Seq] {
			return m.Seq, false
		}
	}
	return 0, false
}
