package recovery

import (
	"fmt"
	"slices"
	"time"

	"runsc-recover/checkpoint"
)

// A failure outside an episode begins one.

func beginEpisode(m *machine, e Failed) {
	if why := allowed(m.cfg, e.Failure); why != "" {
		m.do(Refuse{Reasons: []string{why}})
		return
	}
	m.begin(e.Failure, e.Now, false)
}

func beginEpisodeAfterDeath(m *machine, e SandboxDied) {
	f := e.failure()
	if why := allowed(m.cfg, f); why != "" {
		m.end(f.status(), why)
		return
	}
	m.begin(f, e.Now, true)
}

func (m *machine) begin(f Failure, now time.Time, gone bool) {
	m.s.RateSpent = !m.roomForEpisode(now)
	m.s.Episodes++
	m.s.Episode = &Episode{Number: m.s.Episodes, First: f, Latest: f, Gone: gone}
	m.do(BeginEpisode{Episode: m.s.Episodes, Failure: f})
	if m.s.RateSpent {
		m.giveUp(now, fmt.Sprintf("the limit of %d episodes in an hour is reached", m.cfg.MaxRate))
		return
	}
	m.s.Recent = append(m.s.Recent, now)
	m.escalate(now)
}

func (m *machine) roomForEpisode(now time.Time) bool {
	m.s.Recent = within(m.s.Recent, now)
	return len(m.s.Recent) < m.cfg.MaxRate
}

// A failure in probation ends the attempt and climbs an escalation.

func failAgain(m *machine, e Failed)     { m.again(e.Failure, e.Now, false) }
func dieAgain(m *machine, e SandboxDied) { m.again(e.failure(), e.Now, true) }

func (m *machine) again(f Failure, now time.Time, gone bool) {
	if why := allowed(m.cfg, f); why != "" {
		m.refuseInProbation(f, why, gone)
		return
	}
	if f.RunTime > m.deadline() { // the timer was late
		m.recovered(m.whyOutlived())
		m.begin(f, now, gone)
		return
	}
	m.s.Episode.Latest, m.s.Episode.Gone = f, gone
	m.do(CancelTimer{}, m.compare(f))
	m.escalate(now)
}

// compare ends the attempt by a failure inside probation, and keeps or drops
// the failure identity's escalation accordingly.
func (m *machine) compare(f Failure) EndAttempt {
	l := m.s.Episode.escalation(f.Key)
	if l == nil || f.RunTime > l.FailurePoint+m.cfg.Grace {
		m.s.Episode.dropEscalation(f.Key)
		return EndAttempt{OutcomeDifferent, []string{fmt.Sprintf("another failure inside probation: %v", f)}}
	}
	why := fmt.Sprintf("the same failure, %v into the run; it was seen at %v and the grace time is %v",
		f.RunTime, l.FailurePoint, m.cfg.Grace)
	l.FailurePoint = max(l.FailurePoint, f.RunTime)
	return EndAttempt{OutcomeCoinciding, []string{why}}
}

// refuseInProbation answers a failure that no trigger allows: the copy ends by
// it, as any program that exits in probation.
func (m *machine) refuseInProbation(f Failure, why string, gone bool) {
	if gone {
		m.recovered("the sandbox died: " + why)
		m.end(f.status(), why)
		return
	}
	m.do(Refuse{Reasons: []string{why}})
}

// escalate begins the next attempt against the latest failure, or gives up.
func (m *machine) escalate(now time.Time) {
	ep := m.s.Episode
	l := ep.escalation(ep.Latest.Key)
	if l == nil {
		ep.Escalations = append(ep.Escalations, Escalation{
			Key:          ep.Latest.Key,
			Candidates:   slices.Clone(m.s.Lineage),
			FailurePoint: ep.Latest.RunTime,
		})
		l = &ep.Escalations[len(ep.Escalations)-1]
	}
	l.Level++
	m.try(l, now)
}

// try begins l's next attempt: a copy is made. The failing sandbox is stopped
// and cut off already.
func (m *machine) try(l *Escalation, now time.Time) {
	if m.attempt(l, now) {
		m.s.Phase = Restoring
		m.do(Restore{Seq: m.s.Episode.Attempt.Seq})
	}
}

// attempt begins l's next try. It is false if no try is left and the machine gave
// up.
func (m *machine) attempt(l *Escalation, now time.Time) bool {
	ep := m.s.Episode
	if ep.Spent >= m.cfg.MaxAttempts {
		m.giveUp(now, fmt.Sprintf("the budget of %d attempts is spent", m.cfg.MaxAttempts))
		return false
	}
	c, ok := Choose(ChoiceInput{Candidates: l.candidates(), Tries: l.Tries, Held: m.held, MaxLag: m.cfg.StandbyLag})
	if !ok {
		m.giveUp(now, c.Reasons...)
		return false
	}
	l.Tries++
	ep.Spent++
	ep.Attempt = Attempt{Number: ep.Attempt.Number + 1, Level: l.Level, Seq: c.Seq, RunTime: l.runTime(c.Seq)}
	m.do(BeginAttempt{Attempt: ep.Attempt.Number, Level: l.Level, Seq: c.Seq, Reasons: c.Reasons})
	return true
}

// The copy is made.

func ready(m *machine, _ Ready) {
	ep := m.s.Episode
	m.do(Release{
		Attempt:      ep.Attempt.Number,
		Level:        ep.Attempt.Level,
		Seq:          ep.Attempt.Seq,
		FailureAfter: max(0, ep.Latest.RunTime-ep.Attempt.RunTime),
	})
}

func released(m *machine, _ Released) {
	ep := m.s.Episode
	m.s.rewind(ep.Attempt, ep.escalation(ep.Latest.Key))
	m.s.Phase = Probation
	m.do(SetTimer{After: max(0, m.deadline()-ep.Attempt.RunTime)})
}

// restoreFailed tries on at the same level: no copy was told of it.
func restoreFailed(m *machine, e RestoreFailed) {
	ep := m.s.Episode
	l := ep.escalation(ep.Latest.Key)
	m.do(EndAttempt{Outcome: OutcomeFailed, Reasons: []string{
		fmt.Sprintf("no copy could be made from checkpoint %d: %s", ep.Attempt.Seq, e.Reason)}})
	if e.Damaged {
		m.passOver(ep.Attempt.Seq, e.Reason)
	}
	m.try(l, e.Now)
}

// passOver takes the attempt under way off the budget, since its checkpoint is at
// fault, and has that checkpoint never tried again.
func (m *machine) passOver(seq checkpoint.Seq, why string) {
	ep := m.s.Episode
	m.s.markUnusable(seq, why)
	ep.Spent--
	ep.escalation(ep.Latest.Key).Tries--
}

// A copy was released before all of its checkpoint was loaded, and that is
// damaged.

// damagedInProbation tries on at the same level: the copy that was told of the
// level left nothing behind.
func damagedInProbation(m *machine, e CopyDamaged) {
	ep := m.s.Episode
	ep.Gone = true
	m.do(CancelTimer{}, EndAttempt{Outcome: OutcomeFailed, Reasons: []string{
		fmt.Sprintf("checkpoint %d turned out to be damaged while the copy ran: %s", ep.Attempt.Seq, e.Reason)}})
	m.passOver(ep.Attempt.Seq, e.Reason)
	m.try(ep.escalation(ep.Latest.Key), e.Now)
}

// damagedAfterProbation is the death of a copy that had no checkpoint of its
// own yet.
func damagedAfterProbation(m *machine, e CopyDamaged) {
	if slices.Contains(seqs(m.s.Lineage), e.Seq) {
		checkpointRemoved(m, CheckpointRemoved{Seq: e.Seq})
		m.removeDamaged(e.Seq)
	}
	beginEpisodeAfterDeath(m, SandboxDied{RunTime: e.RunTime, Now: e.Now})
}

// failingCopyDamaged: the copy had failed already, and can't be refused now.
func failingCopyDamaged(m *machine, e CopyDamaged) {
	m.s.Episode.Gone = true
	m.s.markUnusable(e.Seq, e.Reason)
}

func damagedWhenExhausted(m *machine, e CopyDamaged) {
	dieWhenExhausted(m, SandboxDied{RunTime: e.RunTime, Now: e.Now})
}

func failingSandboxDied(m *machine, _ SandboxDied) { m.s.Episode.Gone = true }

func failingSandboxExited(m *machine, _ Exited) { m.s.Episode.Gone = true }

// Probation ends well.

func resolved(m *machine, _ Resolved) {
	m.recovered("the program says that it is past the failure")
}

func tick(m *machine, e Tick) {
	if left := m.deadline() - e.RunTime; left > 0 {
		m.do(SetTimer{After: left})
		return
	}
	m.recovered(m.whyOutlived())
}

func (m *machine) whyOutlived() string {
	return fmt.Sprintf("the copy has outlived the failure point by the grace time, %v", m.cfg.Grace)
}

func exitInProbation(m *machine, e Exited) {
	why := fmt.Sprintf("the program exited with status %d, which is not a failure to act on", e.Status)
	m.recovered(why)
	m.end(e.Status, why)
}

// recovered closes the episode and forgets the checkpoints that it orphaned.
func (m *machine) recovered(why string) {
	m.do(CancelTimer{}, EndAttempt{Outcome: OutcomeRecovered, Reasons: []string{why}})
	m.do(EndEpisode{Outcome: OutcomeRecovered, Reasons: []string{why}})
	m.removeOrphaned(m.s.Orphaned...)
	m.s.Orphaned = nil
	m.s.Episode = nil
	m.s.Phase = Running
}

// deadline is the run time at which every failure met in the episode has been
// outlived.
func (m *machine) deadline() time.Duration {
	var d time.Duration
	for _, l := range m.s.Episode.Escalations {
		d = max(d, l.FailurePoint+m.cfg.Grace)
	}
	return d
}

// escalation returns the escalation of a failure identity, or nil.
func (ep *Episode) escalation(key uint64) *Escalation {
	for i := range ep.Escalations {
		if ep.Escalations[i].Key == key {
			return &ep.Escalations[i]
		}
	}
	return nil
}

func (ep *Episode) dropEscalation(key uint64) {
	ep.Escalations = slices.DeleteFunc(ep.Escalations, func(l Escalation) bool { return l.Key == key })
}

func (l *Escalation) candidates() []Candidate {
	out := make([]Candidate, 0, len(l.Candidates))
	for _, p := range l.Candidates {
		out = append(out, Candidate(p))
	}
	return out
}

func (l *Escalation) runTime(seq checkpoint.Seq) time.Duration {
	for _, p := range l.Candidates {
		if p.Seq == seq {
			return p.RunTime
		}
	}
	return 0
}
