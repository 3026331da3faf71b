// Package fault is an error that survives a log: events and actions hold it, and a
// replayed log leads to the same decisions.
//
// It must not know events, actions or decisions. It has no state.
package fault

import (
	"context"
	"errors"

	"runsc-recover/checkpoint"
	"runsc-recover/oci/errdefs"
	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/sentry/failure"
)

// Fault is an error in an event or an action. It survives JSON as far as
// decisions depend on it: its text, and the sentinels that it wraps, by name.
type Fault struct {
	Text string   `json:"text"`
	Is   []string `json:"is,omitempty"`

	err error // the error itself; nil in a Fault that was read from a log
}

// sentinel is an error on which a decision depends, and its name in logs.
type sentinel struct {
	name string
	err  error
}

func sentinels() []sentinel {
	return []sentinel{
		{"gone", sandbox.ErrGone}, {"failing", sandbox.ErrFailing}, {"unsavable", sandbox.ErrUnsavable},
		{"not fenced", sandbox.ErrNotFenced}, {"damaged", checkpoint.ErrDamaged}, {"version", checkpoint.ErrVersion},
		{"not found", checkpoint.ErrNotFound}, {"full", checkpoint.ErrFull}, {"limit", checkpoint.ErrLimit},
		{"read-only", checkpoint.ErrReadOnly}, {"closed", checkpoint.ErrClosed},
		{"not running", errdefs.ErrNotRunning}, {"canceled", context.Canceled}, {"deadline", context.DeadlineExceeded},
	}
}

// Of returns err as a Fault, nil for nil. Its text is bounded: a hostile sandbox may
// have written it.
func Of(err error) *Fault {
	if err == nil {
		return nil
	}
	f := &Fault{Text: failure.Bound(err.Error(), failure.MaxMessage), err: err}
	for _, s := range sentinels() {
		if errors.Is(err, s.err) {
			f.Is = append(f.Is, s.name)
		}
	}
	return f
}

// Error implements error.
func (f *Fault) Error() string { return f.Text }

// Unwrap returns the error itself, or, of a Fault that was read from a log, the
// sentinels that it wraps.
func (f *Fault) Unwrap() (errs []error) {
	if f.err != nil {
		return []error{f.err}
	}
	for _, s := range sentinels() {
		for _, name := range f.Is {
			if name == s.name {
				errs = append(errs, s.err)
			}
		}
	}
	return errs
}

// AsError returns f as an error, nil for nil.
func (f *Fault) AsError() error {
	if f == nil {
		return nil
	}
	return f
}
