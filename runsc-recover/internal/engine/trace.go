package engine

import (
	"context"
	"log/slog"
	"time"

	"runsc-recover/runsc-recover/internal/engine/lifecycle"
)

// trace logs an event and its actions, for debugging and for lifecycle.Replay.
func (e *Engine) trace(at time.Time, ev lifecycle.Event, actions []lifecycle.Action) {
	if !e.log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	e.log.Debug(lifecycle.MessageEvent, "at", at.Format(time.RFC3339Nano), "event", lifecycle.Traced{Value: ev})
	for _, a := range actions {
		e.log.Debug(lifecycle.MessageAction, "action", lifecycle.Traced{Value: a})
	}
}
