package lifecycle

import (
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"runsc-recover/runsc-recover/internal/engine/event"
	"runsc-recover/sentry/failure"
)

const (
	// explainTime is how long after an operator's signal a death is put down
	// to it: as long as engines wait between TERM and KILL.
	explainTime = 10 * time.Second
	// maxSignalLog is how many signals are remembered.
	maxSignalLog = 64
)

// sentSignal is an operator's signal.
type sentSignal struct {
	signal int
	all    bool
	at     time.Time
	paused bool // waiting in a paused sandbox
	// delivered is set when a sandbox took the signal. Until then its delivery
	// sees to it that it reaches the copy.
	delivered bool
}

// signalLog remembers the operator's latest signals: a program that dies of one
// isn't to be recovered, and a copy restored from before a signal has to get it
// again.
type signalLog struct {
	sent []*sentSignal
}

// add notes a signal that is about to be sent.
func (l *signalLog) add(signal int, all, paused bool, now time.Time) *sentSignal {
	s := &sentSignal{signal: signal, all: all, at: now, paused: paused}
	l.sent = append(l.sent, s)
	if extra := len(l.sent) - maxSignalLog; extra > 0 {
		l.sent = slices.Delete(l.sent, 0, extra)
	}
	return s
}

// resumed notes that signals that waited in a paused sandbox take effect now.
func (l *signalLog) resumed(now time.Time) {
	for _, s := range l.sent {
		if s.paused {
			s.paused, s.at = false, now
		}
	}
}

// since returns the delivered signals after t that ask a program to end or to
// start over: rolled back, it would never know. Others, such as USR1, stay
// with the lineage that they were sent to: one of them may have brought the
// program down.
func (l *signalLog) since(t time.Time) (out []event.SignalAsked) {
	for _, s := range l.sent {
		if s.delivered && s.at.After(t) && (asksToEnd(s.signal) || s.signal == int(unix.SIGHUP)) {
			out = append(out, event.SignalAsked{Signal: s.signal, All: s.all})
		}
	}
	return out
}

// explains says why a failure is the operator's doing; empty if it isn't.
func (l *signalLog) explains(f failure.State, now time.Time) string {
	for _, s := range l.sent {
		if now.Sub(s.at) > explainTime {
			continue
		}
		if f.Kind == failure.Signal && int(f.Signo) == s.signal {
			return fmt.Sprintf("killed by the operator with signal %d", s.signal)
		}
		if f.Kind == failure.Exit && asksToEnd(s.signal) {
			return fmt.Sprintf("asked to end by the operator with signal %d", s.signal)
		}
	}
	return ""
}

// stopping reports whether the operator has just sent KILL.
func (l *signalLog) stopping(now time.Time) bool {
	return slices.ContainsFunc(l.sent, func(s *sentSignal) bool {
		return s.signal == sigKill && now.Sub(s.at) <= explainTime
	})
}

func asksToEnd(signal int) bool {
	switch unix.Signal(signal) {
	case unix.SIGTERM, unix.SIGINT, unix.SIGQUIT, unix.SIGKILL:
		return true
	}
	return false
}
