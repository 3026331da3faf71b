package logging

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// How much is logged: a program in its sandbox can make the supervisor log at
// will, by failing in a loop, and must not fill the disk so.
const (
	logBurst  = 500
	logRefill = time.Second // one more record each
)

// limitedHandler drops records beyond a rate and says how many it dropped.
type limitedHandler struct {
	slog.Handler
	limit *logLimit
}

// logLimit is a token bucket, shared by the handlers derived from one.
type logLimit struct {
	mu      sync.Mutex
	tokens  int
	filled  time.Time
	dropped int
}

func limitLog(h slog.Handler) slog.Handler {
	return &limitedHandler{Handler: h, limit: &logLimit{tokens: logBurst}}
}

// Handle implements slog.Handler.
func (h *limitedHandler) Handle(ctx context.Context, r slog.Record) error {
	ok, dropped := h.limit.take(r.Time)
	if !ok {
		return nil
	}
	if dropped > 0 {
		r.AddAttrs(slog.Int("records_dropped", dropped))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h *limitedHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &limitedHandler{Handler: h.Handler.WithAttrs(attrs), limit: h.limit}
}

// WithGroup implements slog.Handler.
func (h *limitedHandler) WithGroup(name string) slog.Handler {
	return &limitedHandler{Handler: h.Handler.WithGroup(name), limit: h.limit}
}

// take reports whether a record may be written, and how many before it were
// not.
func (l *logLimit) take(now time.Time) (ok bool, dropped int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := int(now.Sub(l.filled) / logRefill); l.filled.IsZero() || n > 0 {
		l.tokens = min(logBurst, l.tokens+max(0, n))
		l.filled = now
	}
	if l.tokens == 0 {
		l.dropped++
		return false, 0
	}
	l.tokens--
	dropped, l.dropped = l.dropped, 0
	return true, dropped
}
