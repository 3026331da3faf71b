package supervisor

import (
	"io"
	"log/slog"
	"strings"
)

// newLogger writes one record a line to w. Levels are lower-case and the text
// is "msg", as callers of OCI runtimes read them.
func newLogger(w io.Writer, format string, debug bool) *slog.Logger {
	opts := &slog.HandlerOptions{Level: slog.LevelInfo, ReplaceAttr: lowerLevel}
	if debug {
		opts.Level = slog.LevelDebug
	}
	if format == "json" {
		return slog.New(limitLog(slog.NewJSONHandler(w, opts)))
	}
	return slog.New(limitLog(slog.NewTextHandler(w, opts)))
}

func lowerLevel(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.LevelKey {
		a.Value = slog.StringValue(strings.ToLower(a.Value.String()))
	}
	return a
}
