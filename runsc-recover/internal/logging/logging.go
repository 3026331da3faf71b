// Package logging writes log records in the form that callers of OCI runtimes
// read: one record a line, the keys time, level and msg, levels in lower case.
//
// It must not know what is logged. Locks: one per limit of a rate, under which
// no other lock is taken.
package logging

import (
	"io"
	"log/slog"
	"strings"
)

// New writes one record a line to w. Levels are lower-case and the text
// is "msg", as callers of OCI runtimes read them.
func New(w io.Writer, format string, debug bool) *slog.Logger {
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
