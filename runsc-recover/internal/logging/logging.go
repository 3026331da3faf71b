// Package logging writes log records in the form that callers of OCI runtimes
// read: one record a line, the keys time, level and msg, levels in lower case.
//
// It must not know the records' contents. Loggers are safe for concurrent use.
// Locks: a rate limiter's, under which no other lock is taken.
package logging

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// New returns the logger of a command. The format is text or json; another is
// an error.
func New(w io.Writer, format string, debug bool) (*slog.Logger, error) {
	h, err := newHandler(w, format, debug)
	if err != nil {
		return nil, err
	}
	return slog.New(h), nil
}

// NewLimited returns the logger of a supervisor, whose records are dropped
// beyond a rate.
func NewLimited(w io.Writer, format string, debug bool) (*slog.Logger, error) {
	h, err := newHandler(w, format, debug)
	if err != nil {
		return nil, err
	}
	return slog.New(limited(h)), nil
}

func newHandler(w io.Writer, format string, debug bool) (slog.Handler, error) {
	opts := &slog.HandlerOptions{Level: slog.LevelInfo, ReplaceAttr: lowerLevel}
	if debug {
		opts.Level = slog.LevelDebug
	}
	switch format {
	case "text":
		return slog.NewTextHandler(w, opts), nil
	case "json":
		return slog.NewJSONHandler(w, opts), nil
	}
	return nil, fmt.Errorf("unknown log-format %q, must be text or json", format)
}

func lowerLevel(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.LevelKey {
		a.Value = slog.StringValue(strings.ToLower(a.Value.String()))
	}
	return a
}
