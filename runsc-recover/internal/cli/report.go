package cli

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"runsc-recover/oci/errdefs"
	"runsc-recover/runsc-recover/internal/cli/flags"
	"runsc-recover/runsc-recover/internal/logging"
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
func (r *reporter) open(g flags.Globals) error {
	w := r.stderr
	if g.Log != "" {
		f, err := os.OpenFile(g.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
		if err != nil {
			return fmt.Errorf("open log: %w", err)
		}
		w, r.toFile = f, true
	}
	var err error
	r.log, err = logging.New(w, g.LogFormat, g.Debug)
	return err
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
