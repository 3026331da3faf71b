package recovery

import (
	"cmp"
	"slices"

	"runsc-recover/checkpoint"
)

func checkpointTaken(m *machine, e CheckpointTaken) {
	m.s.Lineage = append(m.s.Lineage, Point{Seq: e.Seq, RunTime: e.RunTime, Asked: e.Asked})
}

// removeOrphaned has checkpoints removed that are no longer needed since they
// aren't on the lineage.
func (m *machine) removeOrphaned(seqs ...checkpoint.Seq) {
	if len(seqs) > 0 {
		m.do(Remove{Seqs: seqs, Reasons: []string{"on a lineage that was left"}})
	}
}

// removeDamaged has a checkpoint removed that can't be restored: the next one
// isn't to refer to its pages.
func (m *machine) removeDamaged(seq checkpoint.Seq) {
	m.do(Remove{Seqs: []checkpoint.Seq{seq}, Reasons: []string{"it is damaged"}})
}

func checkpointRemoved(m *machine, e CheckpointRemoved) {
	m.s.markUnusable(e.Seq, "it was removed")
	m.s.Lineage = slices.DeleteFunc(m.s.Lineage, func(p Point) bool { return p.Seq == e.Seq })
	m.s.Orphaned = slices.DeleteFunc(m.s.Orphaned, func(q checkpoint.Seq) bool { return q == e.Seq })
}

// Resume returns the state of a container that was restored from a checkpoint
// of its store: its lineage follows the manifests' parents from head back. Where
// retention has taken a parent, the lineage goes on with the newest before it.
func Resume(manifests []checkpoint.Manifest, head checkpoint.Seq) State {
	manifests = slices.SortedFunc(slices.Values(manifests), func(a, b checkpoint.Manifest) int {
		return cmp.Compare(b.Seq, a.Seq)
	})
	var s State
	for _, m := range manifests {
		if m.Seq > head {
			s.Orphaned = append(s.Orphaned, m.Seq)
			continue
		}
		s.Lineage = append(s.Lineage, Point{Seq: m.Seq, RunTime: m.RunTime, Asked: m.Trigger.Asked()})
		head = m.Parent
	}
	slices.Reverse(s.Lineage)
	slices.Reverse(s.Orphaned)
	return s
}

// rewind sets the lineage back to the checkpoint that the copy was restored from:
// the escalation's candidates up to it. All other checkpoints are orphaned.
func (s *State) rewind(a Attempt, l *Escalation) {
	old := append(seqs(s.Lineage), s.Orphaned...)
	s.Lineage = nil
	for _, p := range l.Candidates {
		if p.Seq <= a.Seq && slices.Contains(old, p.Seq) {
			s.Lineage = append(s.Lineage, p)
		}
	}
	s.Orphaned = nil
	on := seqs(s.Lineage)
	for _, seq := range old {
		if !slices.Contains(on, seq) {
			s.Orphaned = append(s.Orphaned, seq)
		}
	}
	slices.Sort(s.Orphaned)
}

// markUnusable notes on every escalation that the checkpoint can't be restored.
func (s *State) markUnusable(seq checkpoint.Seq, why string) {
	if s.Episode == nil {
		return
	}
	for _, l := range s.Episode.Escalations {
		for i := range l.Candidates {
			if l.Candidates[i].Seq == seq {
				l.Candidates[i].Unusable = why
			}
		}
	}
}
