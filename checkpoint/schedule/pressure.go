package schedule

import (
	"fmt"
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/config"
)

// A program must not be killed for memory that only its checkpoints need. So
// its use is looked at the more often the closer it comes to the limit, and
// memory is given back before it gets there.
const (
	// fastestGrowth bounds how fast programs are expected to take memory, in
	// bytes a second: a program that does nothing else was seen to take 1.3 GiB.
	fastestGrowth = 2 << 30
	// reliefTime is how long it may take to give memory back, on a busy host.
	reliefTime = 150 * time.Millisecond
	// pressureMargin is the share of the limit that is kept free.
	pressureMargin = 1. / 16
	// minLook and maxLook bound the time between two looks.
	minLook = 10 * time.Millisecond
	maxLook = time.Second
)

const (
	// memoryGone is the problem of a container whose checkpoints were all given
	// up.
	memoryGone = "the program needs the memory that its checkpoints took, and there is no room for another"
	// quietLook is the time between two looks when there is nothing to give, and
	// blindLook when the container's memory can't be read.
	quietLook = 100 * time.Millisecond
	blindLook = time.Second
)

// look is a look at the container's memory.
type look struct {
	Used uint64    `json:"used"`
	At   time.Time `json:"at,omitzero"`
	// Again is when to look next, once memory was given back.
	Again time.Duration `json:"again_ns"`
}

// memorySeen gives back the memory that only recovery needs, before the program
// is killed for it: staging memory, the standby, checkpoints in memory, in the
// end all of them.
func memorySeen(m *machine, e MemorySeen) {
	if e.Err != nil { // an attempt for room reports the error
		m.do(Watch{After: blindLook})
		return
	}
	p := Pressure{Limit: e.Use.Limit, Used: e.Use.Used, Before: m.s.Look.Used}
	if !m.s.Look.At.IsZero() {
		p.Elapsed = e.At.Sub(m.s.Look.At)
	}
	need, again := p.Relief()
	m.s.Look = look{Used: e.Use.Used, At: e.At, Again: again}
	if need > 0 {
		m.relieve(p, need)
		return
	}
	m.do(Watch{After: again})
}

// relieve makes up for need bytes as far as it can. How fast use grows says
// nothing while a checkpoint is taken, for which FindingRoom saw that there is
// room.
func (m *machine) relieve(p Pressure, need uint64) {
	busy := m.s.Phase != Idle && m.s.Phase != Waiting
	if busy {
		p.Elapsed = 0
		if need, _ = p.Relief(); need == 0 {
			m.do(Watch{After: m.s.Look.Again})
			return
		}
		m.abandon()
	}
	gone := m.giveBack(need)
	switch {
	case m.in.Standby || len(gone) > 0:
	case busy || m.in.Recovering:
		m.do(Watch{After: m.s.Look.Again})
		return
	default: // all memory is the program's own
		m.do(Watch{After: quietLook})
		return
	}
	m.do(Warn{Text: fmt.Sprintf("the program needs the memory that recovery takes, which is given back: %d MiB of %d MiB are used; checkpoints %v go",
		p.Used>>20, p.Limit>>20, gone)})
	if m.in.Standby {
		m.do(DropStandby{Reason: "the program needs its room"})
	}
	if len(gone) == 0 {
		m.do(Compact{For: ForPressure})
		return
	}
	m.do(Remove{For: ForPressure, Seqs: gone, Reasons: []string{"the program needs the memory"}})
}

// abandon has the checkpoint that is being taken not be kept.
func (m *machine) abandon() {
	switch {
	case m.s.Phase == Taking:
		m.do(Abandon{Err: errNoRoom})
	case m.s.Attempt != nil:
		m.s.Attempt.NoRoom = true
	}
}

// giveBack forgets the checkpoints that make up for need bytes.
func (m *machine) giveBack(need uint64) []checkpoint.Seq {
	if m.in.Config.Durability != config.DurabilityMemory {
		return nil
	}
	needed := make(map[checkpoint.Seq]bool)
	if m.in.Recovering {
		needed[m.in.Needed] = true // older checkpoints can't be afforded
	}
	gone := GiveBack(need, m.s.Kept, needed)
	for _, seq := range gone {
		m.forget(seq)
	}
	if len(gone) > 0 && len(m.s.Kept) == 0 {
		m.s.Problem = memoryGone
	}
	return gone
}

// removedAside goes on with the relief after checkpoints went.
func removedAside(m *machine, e Removed) {
	if e.For == ForPressure {
		m.do(Compact{For: ForPressure})
	}
}

// compactedAside looks again once memory was given back.
func compactedAside(m *machine, e Compacted) {
	if e.For == ForPressure {
		m.do(Watch{After: m.s.Look.Again})
	}
}

// Memory is a container's use of its memory limit, in bytes. Checkpoints that are
// kept in memory count: the sandbox writes them.
type Memory struct {
	Used  uint64 // without the memory that the kernel can take back at once
	Limit uint64 // 0 for none
}

// Pressure is a container's use of its memory limit, in bytes, now and before.
type Pressure struct {
	Limit uint64 // 0 for none
	Used  uint64 // as in Memory
	// Before is the use Elapsed ago; an Elapsed of 0 says that it isn't known.
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
	// Half of the time that the fastest growth takes: a look may come late.
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
			// Pages are shared: only those that the next one replaced are free.
			freed += min(m.Pages.Bytes, manifests[i+1].Pages.Changed)
		}
	}
	return gone
}
