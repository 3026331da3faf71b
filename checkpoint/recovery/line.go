package recovery

import (
	"cmp"
	"slices"

	"runsc-recover/checkpoint"
)

func checkpointTaken(m *machine, e CheckpointTaken) {
	m.s.Line = append(m.s.Line, Point{Seq: e.Seq, RunTime: e.RunTime, Asked: e.Asked})
}

// removeAbandoned has checkpoints removed that are no longer needed since they
// aren't on the line.
func (m *machine) removeAbandoned(seqs ...checkpoint.Seq) {
	if len(seqs) > 0 {
		m.do(Remove{Seqs: seqs, Reasons: []string{"on a line of history that was left"}})
	}
}

// removeDamaged has a checkpoint removed that can't be restored: the next one
// isn't to refer to its pages.
func (m *machine) removeDamaged(seq checkpoint.Seq) {
	m.do(Remove{Seqs: []checkpoint.Seq{seq}, Reasons: []string{"it is damaged"}})
}

func checkpointRemoved(m *machine, e CheckpointRemoved) {
	m.s.markUnusable(e.Seq, "it was removed")
	m.s.Line = slices.DeleteFunc(m.s.Line, func(p Point) bool { return p.Seq == e.Seq })
	m.s.Abandoned = slices.DeleteFunc(m.s.Abandoned, func(q checkpoint.Seq) bool { return q == e.Seq })
}

// Resume returns the state of a container that was restored from a checkpoint
// of its store: its line follows the manifests' parents from head back. Where
// retention has taken a parent, the line goes on with the newest before it.
func Resume(manifests []checkpoint.Manifest, head checkpoint.Seq) State {
	manifests = slices.SortedFunc(slices.Values(manifests), func(a, b checkpoint.Manifest) int {
		return cmp.Compare(b.Seq, a.Seq)
	})
	var s State
	for _, m := range manifests {
		if m.Seq > head {
			s.Abandoned = append(s.Abandoned, m.Seq)
			continue
		}
		s.Line = append(s.Line, Point{Seq: m.Seq, RunTime: m.RunTime, Asked: m.Trigger.Asked()})
		head = m.Parent
	}
	slices.Reverse(s.Line)
	slices.Reverse(s.Abandoned)
	return s
}

// rewind makes the line the one that led to the checkpoint that the copy was
// restored from: the ladder's candidates up to it. All else is abandoned.
func (s *State) rewind(a Attempt, l *Ladder) {
	old := append(seqs(s.Line), s.Abandoned...)
	s.Line = nil
	for _, p := range l.Candidates {
		if p.Seq <= a.Seq && slices.Contains(old, p.Seq) {
			s.Line = append(s.Line, p)
		}
	}
	s.Abandoned = nil
	on := seqs(s.Line)
	for _, seq := range old {
		if !slices.Contains(on, seq) {
			s.Abandoned = append(s.Abandoned, seq)
		}
	}
	slices.Sort(s.Abandoned)
}

// markUnusable notes on every ladder that the checkpoint can't be restored.
func (s *State) markUnusable(seq checkpoint.Seq, why string) {
	if s.Episode == nil {
		return
	}
	for _, l := range s.Episode.Ladders {
		for i := range l.Candidates {
			if l.Candidates[i].Seq == seq {
				l.Candidates[i].Unusable = why
			}
		}
	}
}
