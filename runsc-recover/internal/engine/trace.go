package engine

import (
	"context"
	"log/slog"
	"time"

	"runsc-recover/checkpoint/trace"
	"runsc-recover/runsc-recover/internal/engine/action"
	"runsc-recover/runsc-recover/internal/engine/event"
)

// trace logs an event and its actions, for debugging and for lifecycle.Replay.
func (e *Engine) trace(at time.Time, ev event.Event, actions []action.Action) {
	if !e.log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	e.log.Debug(trace.Event, "at", at.Format(time.RFC3339Nano), trace.Event, trace.Object{Value: ev})
	for _, a := range actions {
		e.log.Debug(trace.Action, trace.Action, trace.Object{Value: a})
	}
}
