// Package lifecycle decides the actions that each event leads to for one container:
// for its sandboxes, its program, its checkpoints and the commands that wait. It
// joins the three machines (recovery, schedule, standby), each of which decides its
// part, and is, like them, without I/O: Step takes an event and returns the actions
// in order. The same events at the same times give the same actions, so that a log
// of events can be replayed.
//
// A sandbox is known by its generation's number:
//
//	Boot ──▶ booting ──▶ booted ──▶ admitted: the container's running sandbox
//	             │          │            │
//	             └──────────┴────────────┴──▶ Destroy ──▶ gone
//
// A sandbox is admitted when its program runs and its predecessor's place is free;
// reports that come earlier wait. From a failure until its copy runs, the failing
// sandbox stays, so that the failure can still be refused.
//
// A command's request that needs the running sandbox waits here while there is
// none, and again when the sandbox turned out to be failing.
//
// It must not know the sandbox's driver, disks, processes or a clock. A Lifecycle
// belongs to one goroutine; there are no locks.
package lifecycle

import (
	"reflect"
	"slices"
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/config"
	"runsc-recover/checkpoint/recovery"
	"runsc-recover/checkpoint/schedule"
	"runsc-recover/checkpoint/standby"
	"runsc-recover/oci/statedir"
	"runsc-recover/runsc-recover/internal/engine/action"
	"runsc-recover/runsc-recover/internal/engine/event"
	"runsc-recover/sentry/failure"
)

const (
	// killGrace is how long a sandbox has to end after its first process was
	// sent KILL, before the container is ended.
	killGrace = 5 * time.Second
	// retryDelay is how soon a request that a failing sandbox turned away is
	// tried again, should nothing have changed before.
	retryDelay = 50 * time.Millisecond
	// settleTime is how long a copy that was just released has the processors
	// for itself: its handler is waited for. Tearing a sandbox down and booting
	// another take tens of milliseconds of them.
	settleTime = 50 * time.Millisecond
	// minTick keeps a timer whose run time stands still, in a paused container,
	// from coming at once.
	minTick = 10 * time.Millisecond
	// maxEarly bounds the reports of a sandbox that isn't admitted yet: as many
	// threads as may wait for a checkpoint. earlyMargin is the room beside for the
	// news of its end.
	maxEarly    = 1024
	earlyMargin = 4
	// maxReason bounds a reason that quotes an error, and maxProgram a program's
	// name, in bytes.
	maxReason  = 1024
	maxProgram = 256
	// maxStop bounds a sandbox's claim of how long ago it failed.
	maxStop = time.Hour
)

// Lifecycle is the whole state on which a container's decisions depend. The zero
// Lifecycle waits for Opened.
type Lifecycle struct {
	cfg  config.Config
	open event.Opened
	bad  []event.BadCheckpoint

	// The step under way.
	now time.Time
	out []action.Action
	// replies come last in a step: their contents are saved by then.
	replies []action.Action
	changed bool // records have
	stale   bool // state or records have changed since the last Save

	recovery recovery.State
	waiting  []recovery.Event // for the recovery step under way
	stepping bool
	schedule schedule.State
	standby  standby.State
	claimed  *standby.Standby // by the claim under way

	started bool   // Start was asked for
	begun   bool   // and has worked: there is a program, or will be a copy of it
	paused  bool   // the operator wants the program paused
	wish    uint64 // request that asked for that, or for the contrary
	over    bool
	status  int  // once over
	network bool // known

	sandboxes map[int]*sandboxState
	last      int // generation used
	current   int // runs, or has failed and is kept for Refuse; 0 for none
	copy      int // held, or being released
	making    *making
	afresh    *afresh
	settling  []int // destroyed once the copy has settled
	farewell  *event.Released

	clock    runClock
	failure  failure.State // the latest
	failedAt time.Time     // when its report arrived
	stopTook time.Duration // from the failure to its report
	heldAt   time.Time     // when the copy was held
	died     int           // generation whose death the OOM killer's count is being read for; 0 for none
	oomKills uint64

	signals  signalLog
	sending  map[uint64]*delivery
	requests []request // waiting for the running sandbox
	failing  *causing  // the operator's failure
	starting *starting
	retrying bool // the timer is set
	version  uint64
	seen     view
}

// sandboxState is the state of one generation's sandbox.
type sandboxState struct {
	booted     bool
	doomed     bool // destroyed as soon as it is booted
	destroying bool
	admitted   bool
	closed     bool          // the sandbox is gone
	early      []event.Event // reports before the sandbox is admitted
	earlyStop  bool          // a failure is among them, at which the sandbox stopped

	paused        bool
	pausing       bool // a change is under way, for which pauseRequests wait
	pauseRequests []request

	holds   restoredFrom // the checkpoint that it was restored from
	failing bool         // stopped at a failure that isn't answered yet
	ended   bool
	// damage is the fault of the checkpoint that the sandbox was loading when it
	// was killed for that, before it was admitted.
	damage error
}

// restoredFrom is a checkpoint that was restored; the zero value is none.
type restoredFrom struct {
	seq       checkpoint.Seq
	runTime   time.Duration
	takenAt   time.Time
	stoppedAt time.Time // zero for one that was taken before the container began
}

// view decides which requests are served.
type view struct {
	current int
	ready   bool // the current sandbox runs
}

// Summary is a container's part of state.json.
type Summary struct {
	Status  statedir.Status
	Live    []int // generations of the existing sandboxes
	Standby statedir.Standby
	// Problem says why the last checkpoint could not be taken; empty if it was.
	Problem string
}

// Step answers an event that happened at that time with the actions that it asks
// for, in order.
func (l *Lifecycle) Step(at time.Time, e event.Event) []action.Action {
	l.now, l.out, l.replies, l.changed = at, nil, nil, false
	before := l.Summary()
	l.handle(e)
	l.serve()
	l.stale = l.stale || l.changed || !reflect.DeepEqual(before, l.Summary())
	// A copy that is being released waits for no file; and the end of the
	// container is saved when all of it is gone.
	if l.stale && l.copy == 0 && !l.over {
		l.stale = false
		l.do(action.Save{})
	}
	return append(l.out, l.replies...)
}

func (l *Lifecycle) do(a ...action.Action) { l.out = append(l.out, a...) }

// record adds an action that changes the records.
func (l *Lifecycle) record(a action.Action) {
	l.changed = true
	l.do(a)
}

func (l *Lifecycle) reply(r action.Reply) { l.replies = append(l.replies, r) }

// Over reports whether the container has ended.
func (l *Lifecycle) Over() bool { return l.over }

// View is the container as shown to commands that ask for its state.
type View struct {
	Summary
	Generation int            // of the running sandbox, 0 for none
	Phase      recovery.Phase // of the recovery machine
	// Kept are the checkpoints by ascending number, with the reasons why each is
	// kept, and Bad those that can't be read.
	Kept    []checkpoint.Manifest
	Reasons map[checkpoint.Seq][]string
	Bad     []event.BadCheckpoint
}

// View returns the container's view at a moment.
func (l *Lifecycle) View(now time.Time) View {
	v := View{
		Summary: l.Summary(), Generation: l.current, Phase: l.recovery.Phase,
		Kept: l.schedule.Kept, Reasons: make(map[checkpoint.Seq][]string), Bad: slices.Clone(l.bad),
	}
	keep, _ := schedule.Retain(now, v.Kept, l.cfg.Retain, l.recovery.Pinned())
	for _, d := range keep {
		v.Reasons[d.Seq] = d.Reasons
	}
	return v
}

// Summary returns the container's part of state.json as it is now.
func (l *Lifecycle) Summary() Summary {
	s := Summary{Status: l.containerStatus(), Standby: l.standbyView(), Problem: l.schedule.Problem}
	for generation, sb := range l.sandboxes {
		if sb.booted {
			s.Live = append(s.Live, generation)
		}
	}
	slices.Sort(s.Live)
	return s
}

// containerStatus is in the OCI specification's words. A container that is being
// recovered runs: the program comes back.
func (l *Lifecycle) containerStatus() statedir.Status {
	switch {
	case l.over:
		return statedir.StatusStopped
	case !l.started:
		return statedir.StatusCreated
	case l.paused && l.sandbox(l.current).paused:
		return statedir.StatusPaused
	}
	return statedir.StatusRunning
}

func (l *Lifecycle) standbyView() statedir.Standby {
	k := l.standby.Kept
	switch {
	case l.over:
		return statedir.Standby{Kind: config.StandbyCold}
	case k == nil:
		return statedir.Standby{Kind: config.StandbyCold, Reason: l.standby.Reason}
	}
	return statedir.Standby{Kind: k.Kind, Since: k.Since, Generation: k.Generation, Checkpoint: k.Seq, Reason: l.standby.Reason}
}

// sandbox returns the state of a generation's sandbox; for an unknown generation a
// closed one.
func (l *Lifecycle) sandbox(generation int) *sandboxState {
	if sb := l.sandboxes[generation]; sb != nil {
		return sb
	}
	return &sandboxState{closed: true, ended: true}
}

// recovering reports whether there is no running copy at the moment but there
// will be, or the container will end.
func (l *Lifecycle) recovering() bool {
	return l.died != 0 || l.recovery.Phase == recovery.Restoring || l.recovery.Restarting
}

// runs reports whether the current sandbox's program runs, as far as that is
// known.
func (l *Lifecycle) runs() bool {
	sb := l.sandbox(l.current)
	return l.started && !l.over && !sb.failing && !sb.ended && !l.recovering()
}
