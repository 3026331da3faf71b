package lifecycle

import (
	"testing"

	"runsc-recover/sentry/failure"
	"runsc-recover/test/expect"
)

// TestEarlyReportsAreBounded: a copy that isn't admitted yet can't fill the
// supervisor's memory, and none of its threads waits for an answer that doesn't come.
func TestEarlyReportsAreBounded(t *testing.T) {
	var l Lifecycle
	l.Step(beginning, Opened{})
	refused := 0
	for tid := range int32(3 * maxEarly) {
		for _, a := range l.Step(beginning, CheckpointRequested{Generation: 1, TID: tid}) {
			if a, ok := a.(AnswerProgram); ok && a.Err != nil && a.TIDs[0] == tid {
				refused++
			}
		}
	}
	expect.Equal(t, "threads turned away", refused, 2*maxEarly)
	for range 3 * maxEarly {
		l.Step(beginning, Failed{Generation: 1, Failure: failure.State{Data: make([]byte, failure.MaxData)}})
		l.Step(beginning, Exited{Generation: 1})
		l.Step(beginning, DamageFound{Generation: 1, Err: &Fault{Text: "damaged"}})
	}
	expect.Equal(t, "reports", len(l.sandbox(1).early), maxEarly+earlyMargin)
}
