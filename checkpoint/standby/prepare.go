package standby

import (
	"fmt"
	"strings"
	"time"

	"runsc-recover/checkpoint/config"
	"runsc-recover/checkpoint/schedule"
)

// maxReason bounds a reason that quotes an error, in bytes.
const maxReason = 1024

func reasonOf(err error) string {
	text := err.Error()
	return strings.ToValidUTF8(text[:min(len(text), maxReason)], "?")
}

// reconcile sees to it that the standby is as it should be.
func reconcile(m *machine, _ Reconcile) {
	m.place()
	if m.s.Weighing || m.s.Coming != nil || !m.wants() || m.s.Kept == nil && m.givenUp() {
		return
	}
	m.s.Weighing = true
	w := Weigh{}
	if m.s.Kept != nil {
		w.Generation = m.s.Kept.Generation
	}
	m.do(w)
}

// wants reports whether a recovery could use a standby.
func (m *machine) wants() bool {
	return m.in.Wanted && m.in.Config.Enabled && m.in.Config.Standby != config.StandbyCold
}

// givenUp reports whether no standby is to be made, for now or until the next
// recovery.
func (m *machine) givenUp() bool { return m.s.Waiting || m.s.Failures > maxFailures }

// weighed acts on the container's memory use, unless the standby has changed since
// the use was read.
func weighed(m *machine, e Weighed) {
	m.s.Weighing = false
	if e.Err != nil {
		m.s.Reason = reasonOf(e.Err)
		m.do(Warn{Text: "standby not weighed", Err: e.Err})
		return
	}
	kept := m.s.Kept
	if kept != nil && kept.Generation == e.Generation {
		m.measured(kept.Kind, e.Measured)
	}
	generation := 0
	if kept != nil {
		generation = kept.Generation
	}
	if generation != e.Generation || m.s.Coming != nil || !m.wants() {
		return
	}
	m.decide(Choose(m.choiceInput(e.Use)))
}

func (m *machine) measured(kind config.Standby, size uint64) {
	switch {
	case size == 0:
	case kind == config.StandbyHot:
		m.s.Hot = size
	default:
		m.s.Warm = size
	}
}

// choiceInput gathers the facts of the choice of a standby.
func (m *machine) choiceInput(use schedule.Memory) ChoiceInput {
	in := ChoiceInput{
		Asked:      m.in.Config.Standby,
		MaxMemory:  m.in.Config.StandbyMemory,
		Warm:       sandboxGuess,
		Hot:        m.s.Hot,
		HotRefused: m.s.NotHot,
		Limit:      use.Limit,
		Used:       use.Used,
	}
	if m.s.Warm > 0 {
		in.Warm = m.s.Warm
	}
	in.Pages = uint64(m.in.Newest.Pages.Bytes)
	if m.s.Kept != nil {
		in.Held = m.s.Kept.Kind
	}
	if m.in.Config.Durability == config.DurabilityMemory {
		in.Checkpoint = uint64(m.in.Newest.Bytes()) + checkpointMargin
	}
	if in.HotRefused == "" && !m.follows() {
		_, in.HotRefused = m.refreshEvery()
	}
	return in
}

// follows reports whether there is a hot standby that a first attempt would use.
// Such a standby stays, even where it can't be renewed for a while.
func (m *machine) follows() bool {
	k := m.s.Kept
	return k != nil && k.Kind == config.StandbyHot && m.in.Head != 0 && m.in.HeadRunTime-k.RunTime <= m.in.Config.StandbyLag
}

// refreshEvery says how often a hot standby may be renewed, or why it can't be.
func (m *machine) refreshEvery() (time.Duration, string) {
	took, work := m.s.Took, m.s.Work
	if m.in.Now.Sub(m.s.Renewed) > stableTime {
		took, work = tookGuess, workGuess // the host may have been busy then
	}
	return Refresh(RefreshInput{
		SpacingInput: schedule.SpacingInput{Interval: m.in.Config.Interval, MaxOverhead: m.in.Config.MaxOverhead, Recent: m.in.Recent},
		Asked:        m.in.Config.Standby,
		Took:         took,
		Work:         work,
		MaxLag:       m.in.Config.StandbyLag,
	})
}

// decide acts on a choice.
func (m *machine) decide(choice Choice) {
	m.s.Reason = choice.Reason
	kept := m.s.Kept
	switch {
	case choice.Kind == config.StandbyCold:
		m.giveUp(choice.Reason)
	case kept == nil:
		m.prepare(choice)
	case choice.Kind == config.StandbyWarm && kept.Kind == config.StandbyHot:
		m.giveUp(choice.Reason)
		m.prepare(choice)
	case choice.Kind == config.StandbyHot && kept.Seq != m.in.Head:
		m.renew(choice)
	}
}

// renew replaces the standby by a hot standby of the newest checkpoint, as soon as
// that is paid for.
func (m *machine) renew(choice Choice) {
	every, refused := m.refreshEvery()
	hot := m.s.Kept.Kind == config.StandbyHot
	if refused != "" || hot && !m.s.Kept.Loaded {
		return // until checkpoints leave enough, or all pages are there
	}
	if left := every - m.in.Now.Sub(m.s.Renewed); hot && left > 0 {
		m.do(SetTimer{After: left})
		return
	}
	m.prepare(choice)
}

// prepare makes a standby, which takes the present one's place.
func (m *machine) prepare(choice Choice) {
	if m.givenUp() {
		return
	}
	m.s.Coming = &Standby{
		Generation: m.in.Generation, Phase: Booting, Kind: choice.Kind,
		Begun: m.in.Now, Beside: choice.Beside,
	}
	m.do(Boot{Generation: m.in.Generation, Fenced: choice.Kind == config.StandbyHot})
}

// booted goes on with a standby that has a sandbox.
func booted(m *machine, e Booted) {
	c := m.s.Coming
	switch {
	case c.Generation != e.Generation || c.Phase != Booting:
	case e.NotFenced:
		m.s.Coming = nil
		m.notHot(e.Err)
	case e.Err != nil:
		m.s.Coming = nil
		m.fail(fmt.Errorf("prepare standby: %w", e.Err))
	case c.Kind != config.StandbyHot:
		m.ready()
	case m.in.Head == 0: // until there is a checkpoint again
		m.giveUp("there is no checkpoint")
	default:
		c.Phase, c.Seq = Loading, m.in.Head
		m.do(Restore{Generation: c.Generation, Seq: c.Seq})
	}
}

func restored(m *machine, e Restored) {
	c := m.s.Coming
	switch {
	case c.Generation != e.Generation || c.Phase != Loading:
	case e.Err != nil:
		seq := c.Seq
		m.do(Destroy{Generation: c.Generation})
		m.s.Coming = nil
		if e.Damaged {
			m.do(RemoveDamaged{Seq: seq, Err: e.Err})
		}
		m.notHot(fmt.Errorf("restore checkpoint %d: %w", seq, e.Err))
	default:
		c.RunTime = e.RunTime
		m.s.Renewed = m.in.Now
		m.do(AwaitPages{Generation: c.Generation})
		m.ready()
	}
}

// ready puts the standby that is to come in its place.
func (m *machine) ready() {
	m.s.Coming.Phase, m.s.Coming.Since = Ready, m.in.Now
	reconcile(m, Reconcile{})
}

// place puts the standby that is to come in its place once it is ready. A standby
// whose memory is still being loaded leaves the place to a loaded one, as long as
// a first attempt would use that: its handler waits for no page.
func (m *machine) place() {
	c, k := m.s.Coming, m.s.Kept
	if c == nil || c.Phase != Ready {
		return
	}
	if !c.Loaded && c.Beside && k != nil && k.Loaded && m.follows() {
		return
	}
	if k != nil {
		m.do(Destroy{Generation: k.Generation})
	}
	m.s.Kept, m.s.Coming = c, nil
}

// pagesLoaded notes that a hot standby has the rest of its memory: the loading too
// is paid for, and ends before the next begins.
func pagesLoaded(m *machine, e PagesLoaded) {
	p := m.of(e.Generation)
	if p == nil {
		return
	}
	p.Loaded = true
	m.s.Took, m.s.Work, m.s.Renewed = m.in.Now.Sub(p.Begun), e.Work, m.in.Now
	reconcile(m, Reconcile{})
}

// of returns the standby with a sandbox that is ready; nil for none.
func (m *machine) of(generation int) *Standby {
	for _, p := range []*Standby{m.s.Kept, m.s.Coming} {
		if p != nil && p.Phase == Ready && p.Generation == generation {
			return p
		}
	}
	return nil
}

// gone notes that a sandbox died before it was of use. The death of a sandbox
// that is booting or loading comes as the answer to Boot or Restore.
func gone(m *machine, e Gone) {
	p := m.of(e.Generation)
	if p == nil {
		return
	}
	if m.in.Now.Sub(p.Since) >= stableTime {
		m.s.Failures = 0
	}
	m.do(Destroy{Generation: p.Generation})
	if p == m.s.Kept {
		m.s.Kept = nil
	} else {
		m.s.Coming = nil
	}
	m.fail(fmt.Errorf("standby: %w", e.Err))
}

func damaged(m *machine, e Damaged) {
	if p := m.of(e.Generation); p != nil {
		m.do(RemoveDamaged{Seq: p.Seq, Err: e.Err})
	}
}

// fail has a standby replaced after a while, a bounded number of times.
func (m *machine) fail(err error) {
	m.s.Failures++
	m.s.Reason = reasonOf(err)
	m.s.Waiting = true
	m.do(Warn{Text: "standby lost", Err: err})
	if m.s.Failures <= maxFailures {
		m.do(SetTimer{After: retryDelay << (m.s.Failures - 1)})
	}
}

// notHot lets there be a lesser standby, after a failure to make a hot one.
func (m *machine) notHot(err error) {
	m.s.NotHot = reasonOf(err)
	m.do(Warn{Text: "standby not hot", Err: err})
	reconcile(m, Reconcile{})
}

func retry(m *machine, _ Retry) {
	m.s.Waiting = false
	reconcile(m, Reconcile{})
}

// recovered prepares the next standby.
func recovered(m *machine, _ Recovered) {
	m.s.Failures, m.s.NotHot = 0, ""
	reconcile(m, Reconcile{})
}

func drop(m *machine, e Drop) { m.giveUp(e.Reason) }

// giveUp gives up the standby kept, and the one that is to come.
func (m *machine) giveUp(reason string) {
	for _, p := range []*Standby{m.s.Kept, m.s.Coming} {
		if p != nil {
			m.do(Destroy{Generation: p.Generation})
		}
	}
	if m.s.Kept != nil || m.s.Coming != nil {
		m.do(GivenUp{Reason: reason})
	}
	m.s.Kept, m.s.Coming, m.s.Reason = nil, nil, reason
}

// claim hands a recovery the best standby for its checkpoint, which it may have to
// wait for. A standby that is of no use to the recovery is destroyed: the program
// is about to take another course. Where the copy can run at once, it has the
// processors first.
func claim(m *machine, e Claim) {
	best, other := m.s.Kept, m.s.Coming
	if best == nil || !best.Fits(e.Seq) {
		best, other = other, best
	}
	var useless []*Standby
	if best != nil && !best.Fits(e.Seq) {
		useless = append(useless, best)
		best = nil
	}
	if other != nil {
		useless = append(useless, other)
	}
	for _, p := range useless {
		m.do(Destroy{Generation: p.Generation, Later: best.hotAndReady()})
	}
	m.s.Kept, m.s.Coming = nil, nil
	claimNone(m, e)
	if best != nil {
		m.do(Claimed{Standby: *best})
	}
}

func claimNone(m *machine, _ Claim) {
	m.s.Waiting = false
	m.do(CancelTimer{})
}
