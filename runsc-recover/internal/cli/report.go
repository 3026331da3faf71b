package cli

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"runsc-recover/oci/errdefs"
)

// reporter is where a command's errors and log lines go: into the log file,
// when --log names one, in the format that --log-format names, and to standard
// error as text. Engines read the last error line of the log.
type reporter struct {
	stderr io.Writer
	log    *slog.Logger // nil before open
	toFile bool
}

// open sets the log up as the global options say.
func (r *reporter) open(g globals) error {
	level := slog.LevelInfo
	if g.debug {
		level = slog.LevelDebug
	}
	w := r.stderr
	if g.log != "" {
		f, err := os.OpenFile(g.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
		if err != nil {
			return fmt.Errorf("open log: %w", err)
		}
		w, r.toFile = f, true
	}
	h, err := newLogHandler(w, g.logFormat, level)
	if err != nil {
		return err
	}
	r.log = slog.New(h)
	return nil
}

// fail reports the error with which the command ends, on one line.
func (r *reporter) fail(err error) {
	text := strings.ReplaceAll(err.Error(), "\n", "; ")
	if r.log == nil || r.toFile {
		fmt.Fprintln(r.stderr, text)
	}
	if r.log == nil {
		return
	}
	var attrs []any
	if e, ok := errors.AsType[*errdefs.Error](err); ok {
		attrs = []any{"code", e.Code}
	}
	r.log.Error(text, attrs...)
}

// discard drops all that is reported from here on.
func (r *reporter) discard() {
	r.stderr = io.Discard
	r.log = slog.New(slog.DiscardHandler)
}

// newLogHandler writes lines as runc does: the keys time, level and msg, the
// level in lower case.
func newLogHandler(w io.Writer, format string, level slog.Level) (slog.Handler, error) {
	opts := &slog.HandlerOptions{Level: level, ReplaceAttr: lowerLevel}
	switch format {
	case "text":
		return slog.NewTextHandler(w, opts), nil
	case "json":
		return slog.NewJSONHandler(w, opts), nil
	}
	return nil, fmt.Errorf("unknown log-format %q, must be text or json", format)
}

func lowerLevel(groups []string, a slog.Attr) slog.Attr {
	if a.Key == slog.LevelKey && len(groups) == 0 {
		a.Value = slog.StringValue(strings.ToLower(a.Value.String()))
	}
	return a
}
