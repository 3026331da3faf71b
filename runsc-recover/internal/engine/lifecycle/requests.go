package lifecycle

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"runsc-recover/checkpoint/recovery"
	"runsc-recover/checkpoint/schedule"
	"runsc-recover/checkpoint/standby"
	"runsc-recover/oci/errdefs"
	"runsc-recover/oci/statedir"
	"runsc-recover/runsc-recover/internal/engine/action"
	"runsc-recover/runsc-recover/internal/engine/event"
	"runsc-recover/runsc-recover/internal/engine/fault"
	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/sentry/failure"
)

// whyResumed is the message of the failure that brings a container back from its
// store, for the program and the records.
const whyResumed = "the container's supervisor died; it was brought back from its store"

// maxRequests bounds the requests that wait.
const maxRequests = 4096

// errBusy turns away the requests beyond that.
var errBusy = errors.New("too many requests wait for the container's recovery")

// request is a command's request that waits for the running sandbox.
type request struct {
	id    uint64
	event event.Event
	// after is the version of the view whose sandbox turned the request away.
	after uint64
}

// await has a request wait for the running sandbox. Without a program there will
// be none.
func (l *Lifecycle) await(r request) {
	if !l.started || l.over {
		l.reply(action.Reply{Request: r.id, Err: fault.Of(errdefs.ErrNotRunning)})
		return
	}
	if len(l.requests) >= maxRequests {
		l.reply(action.Reply{Request: r.id, Err: fault.Of(errBusy)})
		return
	}
	l.requests = append(l.requests, r)
}

// dropRequest forgets a request that waits, unless it takes effect without the
// command that asked.
func (l *Lifecycle) dropRequest(id uint64) {
	l.requests = slices.DeleteFunc(l.requests, func(r request) bool {
		switch r.event.(type) {
		case event.StartAsked, event.SignalAsked, event.PauseAsked:
			return false
		}
		return r.id == id
	})
}

// again has a request wait that the sandbox, which is failing or gone, turned
// away: its copy gets it, or the sandbox itself if the failure is refused.
func (l *Lifecycle) again(r request) {
	l.refreshView()
	r.after = l.version
	l.requests = append(l.requests, r)
}

// turnedAway reports whether an error of a sandbox means that its copy gets the
// request.
func turnedAway(err error) bool {
	return errors.Is(err, sandbox.ErrFailing) || errors.Is(err, sandbox.ErrGone)
}

func (l *Lifecycle) refreshView() {
	v := view{current: l.current, ready: l.begun && l.runs()}
	if v != l.seen {
		l.seen = v
		l.version++
	}
}

// serve hands the requests that wait to the running sandbox, in their order.
func (l *Lifecycle) serve() {
	l.refreshView()
	waiting := l.requests
	l.requests = nil
	for _, r := range waiting {
		if l.refreshView(); !l.seen.ready || r.after != 0 && r.after == l.version {
			l.requests = append(l.requests, r)
			continue
		}
		l.dispatch(r)
	}
	l.scheduleRetry()
}

// scheduleRetry looks again at the requests that were turned away, should nothing
// change before.
func (l *Lifecycle) scheduleRetry() {
	for _, r := range l.requests {
		if r.after != 0 && !l.retrying && !l.over {
			l.retrying = true
			l.do(action.SetTimer{Timer: event.TimerRetry, After: retryDelay})
		}
	}
}

func (l *Lifecycle) retryRequests() {
	l.retrying = false
	for i := range l.requests {
		l.requests[i].after = 0
	}
}

// dispatch hands a request to the running sandbox.
func (l *Lifecycle) dispatch(r request) {
	switch e := r.event.(type) {
	case event.StartAsked: // the container is brought back
		l.do(action.ReadNetwork{Generation: l.current})
	case event.SignalAsked:
		l.deliver(r, e.Signal, e.All, false)
	case event.ForegroundAsked:
		l.deliver(r, e.Signal, false, true)
	case event.PauseAsked:
		if r.id == l.wish { // another sandbox may have failed to see to it
			l.paused = e.Paused
		}
		sb := l.sandbox(l.current)
		sb.pauseRequests = append(sb.pauseRequests, r)
		l.settlePause(l.current)
	case event.FailAsked:
		l.failAsked(r)
	case event.SandboxAsked:
		l.reply(action.Reply{Request: r.id, Generation: l.current, Version: l.version})
	}
}

// starting is a start that is under way.
type starting struct {
	request uint64
	at      time.Time // when it began; zero until the program runs
	resumed bool      // the program goes on from the store
}

func (l *Lifecycle) startAsked(e event.StartAsked) {
	if l.started || l.over {
		err := &errdefs.Error{Code: errdefs.CodeNotCreated, Message: fmt.Sprintf("cannot start a container that is %s", l.containerStatus())}
		l.reply(action.Reply{Request: e.Request, Err: fault.Of(err)})
		return
	}
	// From here on the program may report failures.
	l.started = true
	l.starting = &starting{request: e.Request, resumed: l.open.Resume}
	if l.open.Resume {
		l.do(action.PrepareStart{})
		return
	}
	l.do(action.StartProgram{Generation: l.current})
}

// programStarted answers a start. A start that failed ends the container, so that
// whoever waits for the container sees its end.
func (l *Lifecycle) programStarted(e event.ProgramStarted) {
	s := l.starting
	if err := e.Err.AsError(); err != nil {
		l.startFailed(err)
		return
	}
	s.at, l.begun = e.At, true
	l.reply(action.Reply{Request: s.request})
	l.do(action.ReadNetwork{Generation: e.Generation})
}

func (l *Lifecycle) startFailed(err error) {
	err = fmt.Errorf("start container: %w", err)
	l.do(action.Warn{Text: "container not started", Err: fault.Of(err)})
	l.reply(action.Reply{Request: l.starting.request, Err: fault.Of(err)})
	l.starting = nil
	l.recover(recovery.Shutdown{Status: 1})
}

// startPrepared brings a container back: it recovers from the death of the
// sandbox that an earlier supervisor took with it. The first sandbox has never
// run: it showed that the container can be made.
func (l *Lifecycle) startPrepared(e event.StartPrepared) {
	if err := e.Err.AsError(); err != nil {
		l.startFailed(err)
		return
	}
	l.sandbox(l.current).ended, l.begun = true, true
	l.noteFailure(failure.State{Message: whyResumed})
	l.await(request{id: l.starting.request, event: event.StartAsked{Request: l.starting.request}})
	died := recovery.SandboxDied{Now: l.now}
	// A command may have removed the checkpoints meanwhile.
	if n := len(l.recovery.Lineage); n > 0 {
		died.RunTime = l.recovery.Lineage[n-1].RunTime
	}
	l.recover(died)
}

// networkRead ends a start: copies can be made from here on.
func (l *Lifecycle) networkRead(e event.NetworkRead) {
	s := l.starting
	if s == nil {
		return
	}
	err := e.Err.AsError()
	if s.resumed && err != nil {
		if turnedAway(err) {
			l.again(request{id: s.request, event: event.StartAsked{Request: s.request}})
			return
		}
		l.reply(action.Reply{Request: s.request, Err: fault.Of(err)})
		l.starting = nil
		return
	}
	if err != nil {
		l.do(action.Warn{Text: "network configuration not read", Err: e.Err})
	}
	l.network = err == nil
	l.starting = nil
	switch sb := l.sandbox(l.current); {
	case s.resumed:
		l.reply(action.Reply{Request: s.request})
		l.reconcile(standby.Reconcile{})
	case e.Generation == l.current && !sb.failing && !sb.ended:
		if !sb.paused {
			l.clock.start(s.at)
		}
		l.plan(schedule.Began{})
		l.reconcile(standby.Reconcile{})
	}
	l.do(action.AnnounceStart{})
}

// delivery is a signal that is on its way.
type delivery struct {
	request request
	sent    *sentSignal
}

// signalAsked takes an operator's signal. A probe needs no program, a signal to a
// container that was not started has none, and a KILL during a start or a recovery
// need not wait for its end.
func (l *Lifecycle) signalAsked(e event.SignalAsked) {
	switch {
	case l.over:
		l.reply(action.Reply{Request: e.Request, Err: fault.Of(errdefs.ErrNotRunning)})
	case e.Signal == 0:
		l.reply(action.Reply{Request: e.Request})
	case !l.started, e.Signal == sigKill && (!l.begun || l.recovering()):
		if asksToEnd(e.Signal) {
			l.recover(recovery.Shutdown{Status: 128 + e.Signal})
		}
		l.reply(action.Reply{Request: e.Request})
	default:
		l.await(request{id: e.Request, event: e})
	}
}

func (l *Lifecycle) deliver(r request, signal int, all, foreground bool) {
	sent := l.signals.add(signal, all, l.sandbox(l.current).paused, l.now)
	l.sending[r.id] = &delivery{request: r, sent: sent}
	l.do(action.Signal{Request: r.id, Generation: l.current, Signal: signal, All: all, Foreground: foreground})
}

func (l *Lifecycle) signalSent(e event.SignalSent) {
	d := l.sending[e.Request]
	if d == nil {
		return
	}
	delete(l.sending, e.Request)
	err := e.Err.AsError()
	_, foreground := d.request.event.(event.ForegroundAsked)
	switch {
	case err != nil && turnedAway(err):
		l.again(d.request)
		return
	case err != nil || foreground:
		l.reply(action.Reply{Request: e.Request, Err: fault.Of(err)})
		return
	}
	kill := d.sent.signal == sigKill
	if kill {
		l.do(action.SetTimer{Timer: event.TimerKill, Generation: e.Generation, After: killGrace})
	}
	if e.Generation != l.current || l.recovering() {
		l.overtaken(d)
		return
	}
	d.sent.delivered = true
	if sb := l.sandbox(l.current); kill && sb.paused {
		l.paused, l.wish = false, 0
		l.settlePause(l.current)
	}
	l.reply(action.Reply{Request: e.Request})
}

// overtaken deals with a signal that reached a sandbox which failed at once: its
// copy, which knows nothing of the signal, gets it too. A program that is started
// afresh gets only those that ask it to end: another signal may have brought the
// former run down, and was that run's alone.
func (l *Lifecycle) overtaken(d *delivery) {
	fresh := l.afresh != nil || !l.recovering() && l.sandbox(l.current).holds == (restoredFrom{})
	if fresh && !asksToEnd(d.sent.signal) {
		l.reply(action.Reply{Request: d.request.id})
		return
	}
	l.again(d.request)
}

// killOverdue ends a container whose sandbox hasn't ended some time after KILL.
func (l *Lifecycle) killOverdue(generation int) {
	if generation == l.current && !l.sandbox(generation).ended {
		l.recover(recovery.Shutdown{Status: 128 + sigKill})
	}
}

// causing is an operator's failure that is being caused in a sandbox.
type causing struct {
	request    request
	generation int
}

// failAsked takes an operator's failure to the running sandbox.
func (l *Lifecycle) failAsked(r request) {
	switch {
	case l.containerStatus() == statedir.StatusPaused:
		l.reply(action.Reply{Request: r.id, Err: fault.Of(errdefs.ErrPaused)})
	case l.failing != nil:
		l.again(r)
	default:
		l.failing = &causing{request: r, generation: l.current}
		l.recover(recovery.OperatorFail{})
	}
}

// causeFailure makes the sandbox stop as at a failure, for the operator.
func (l *Lifecycle) causeFailure() {
	if e, ok := l.failing.request.event.(event.FailAsked); ok {
		l.do(action.CauseFailure{Generation: l.current, Failure: e.Failure})
	}
}

func (l *Lifecycle) failureCaused(e event.FailureCaused) {
	if e.Err != nil && l.failing != nil && l.failing.generation == e.Generation {
		l.answerFailure(fmt.Errorf("stop sandbox: %w", e.Err))
	}
}

// answerFailure answers the operator who asked for a failure, if one did. Where
// another failure came first, the copy is asked.
func (l *Lifecycle) answerFailure(err error) {
	c := l.failing
	l.failing = nil
	switch {
	case c == nil:
	case err != nil && turnedAway(err):
		l.again(c.request)
	default:
		l.reply(action.Reply{Request: c.request.id, Err: fault.Of(err)})
	}
}

func (l *Lifecycle) memoryLimitChanged(e event.MemoryLimitChanged) {
	a := action.SetMemory{Request: e.Request}
	for _, generation := range []int{l.current, l.copy} {
		if generation != 0 {
			a.Generations = append(a.Generations, generation)
		}
	}
	l.do(a)
}
