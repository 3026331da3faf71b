package lifecycle

import (
	"testing"

	"runsc-recover/runsc-recover/internal/engine/action"
	"runsc-recover/runsc-recover/internal/engine/event"
	"runsc-recover/runsc-recover/internal/engine/fault"
	"runsc-recover/sentry/failure"
	"runsc-recover/test/expect"
)

// TestEarlyReportsAreBounded: a copy that isn't admitted yet can't fill the
// supervisor's memory, and none of its threads waits for an answer that doesn't come.
func TestEarlyReportsAreBounded(t *testing.T) {
	var l Lifecycle
	l.Step(beginning, event.Opened{})
	refused := 0
	for tid := range int32(3 * maxEarly) {
		for _, a := range l.Step(beginning, event.CheckpointRequested{Generation: 1, TID: tid}) {
			if a, ok := a.(action.AnswerProgram); ok && a.Err != nil && a.TIDs[0] == tid {
				refused++
			}
		}
	}
	expect.Equal(t, "threads turned away", refused, 2*maxEarly)
	for range 3 * maxEarly {
		l.Step(beginning, event.Failed{Generation: 1, Failure: failure.State{Data: make([]byte, failure.MaxData)}})
		l.Step(beginning, event.Exited{Generation: 1})
		l.Step(beginning, event.DamageFound{Generation: 1, Err: &fault.Fault{Text: "damaged"}})
	}
	expect.Equal(t, "reports", len(l.sandbox(1).early), maxEarly+earlyMargin)
}
