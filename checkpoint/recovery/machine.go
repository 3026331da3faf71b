package recovery

import (
	"fmt"
	"slices"
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/config"
	"runsc-recover/sentry/failure"
)

// machine is one step under way: a State of its own to change, and the actions
// so far.
type machine struct {
	cfg config.Config
	s   State
	out []Action
	// held is the checkpoint that a standby waits in, 0 for none.
	held checkpoint.Seq
}

func (m *machine) do(a ...Action) { m.out = append(m.out, a...) }

// clone returns a State that shares nothing with s.
func (s State) clone() State {
	s.Lineage = slices.Clone(s.Lineage)
	s.Orphaned = slices.Clone(s.Orphaned)
	s.Recent = slices.Clone(s.Recent)
	s.Restarts = slices.Clone(s.Restarts)
	if s.Episode == nil {
		return s
	}
	ep := *s.Episode
	ep.Escalations = slices.Clone(ep.Escalations)
	for i := range ep.Escalations {
		ep.Escalations[i].Candidates = slices.Clone(ep.Escalations[i].Candidates)
	}
	s.Episode = &ep
	return s
}

const sigkill = 9

// failure is the failure that a sandbox's death amounts to.
func (e SandboxDied) failure() Failure {
	f := Failure{Kind: failure.Signal, Key: failure.KeySandboxDied, Signo: sigkill, RunTime: e.RunTime}
	if e.OutOfMemory {
		f.Kind, f.Key = failure.OutOfMemory, failure.KeyOutOfMemory
	}
	return f
}

// status is the exit status of a container that fails so, when its sandbox is no
// longer there to say.
func (f Failure) status() int { return failure.ExitStatus(f.Kind, f.Code, f.Signo) }

// String names the failure in one line of a record.
func (f Failure) String() string {
	switch f.Kind {
	case failure.Signal:
		return fmt.Sprintf("signal %d", f.Signo)
	case failure.Exit:
		return fmt.Sprintf("exit status %d", f.Code)
	case failure.Reported, failure.Operator:
		return fmt.Sprintf("%v failure with code %d", f.Kind, f.Code)
	}
	return f.Kind.String()
}

// allowed says why a failure is not acted on at all; empty for a failure that is.
func allowed(cfg config.Config, f Failure) string {
	off := func(name string) string { return fmt.Sprintf("the trigger %q is not on", name) }
	switch {
	case !cfg.Enabled:
		return "recovery is not enabled"
	case f.Kind == failure.Reported && !cfg.On.Report:
		return off("report")
	case f.Kind == failure.Signal && !cfg.On.Signal && f.Key != failure.KeySandboxDied:
		return off("signal")
	case f.Kind == failure.Exit && !cfg.On.Exit:
		return off("exit")
	}
	return ""
}

// within returns the times less than an hour before now.
func within(times []time.Time, now time.Time) []time.Time {
	return slices.DeleteFunc(times, func(t time.Time) bool { return now.Sub(t) >= time.Hour })
}

// seqs returns the numbers of points.
func seqs(points []Point) []checkpoint.Seq {
	out := make([]checkpoint.Seq, 0, len(points))
	for _, p := range points {
		out = append(out, p.Seq)
	}
	return out
}
