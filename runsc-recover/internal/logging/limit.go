package logging

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// The limit of the supervisor's log: a program in its sandbox can make the
// supervisor log at will, by failing in a loop, and must not fill the disk so.
const (
	burst  = 500
	refill = time.Second // for one more record
)

// limitedHandler drops records beyond a rate; the next record that is written
// has their number. Records for debugging aren't limited: they are asked for, and
// a trace with gaps can't be replayed.
type limitedHandler struct {
	slog.Handler
	limit   *rate.Limiter // shared, as dropped is, by handlers derived from one
	dropped *atomic.Int64
}

func limited(h slog.Handler) slog.Handler {
	return &limitedHandler{Handler: h, limit: rate.NewLimiter(rate.Every(refill), burst), dropped: new(atomic.Int64)}
}

// Handle implements slog.Handler.
func (h *limitedHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelInfo && !h.limit.AllowN(r.Time, 1) {
		h.dropped.Add(1)
		return nil
	}
	if n := h.dropped.Swap(0); n > 0 {
		r.AddAttrs(slog.Int64("records_dropped", n))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h *limitedHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &limitedHandler{Handler: h.Handler.WithAttrs(attrs), limit: h.limit, dropped: h.dropped}
}

// WithGroup implements slog.Handler.
func (h *limitedHandler) WithGroup(name string) slog.Handler {
	return &limitedHandler{Handler: h.Handler.WithGroup(name), limit: h.limit, dropped: h.dropped}
}
