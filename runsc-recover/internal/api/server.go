package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"runsc-recover/checkpoint"
	"runsc-recover/oci/errdefs"
)

// NewServer returns the HTTP server for s, with its limits set.
func NewServer(s Service) *http.Server {
	return &http.Server{
		Handler:           NewHandler(s),
		ReadHeaderTimeout: headerTime,
		MaxHeaderBytes:    16 << 10,
	}
}

// Listen opens the control socket at path, mode 0600. An old socket there is
// replaced.
func Listen(path string) (*net.UnixListener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove old control socket: %w", err)
	}
	short, dir, err := shortenPath(path)
	if err != nil {
		return nil, fmt.Errorf("open control socket: %w", err)
	}
	defer dir.Close()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("open control socket: %w", err)
	}
	// The name goes through a descriptor that is closed by the time of the
	// listener's end; the socket goes with its directory.
	l.SetUnlinkOnClose(false)
	// Nobody can be ahead of this: the directory is 0700.
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("protect control socket: %w", err)
	}
	return l, nil
}

// shortenPath returns a name for path that fits a socket address: --root and an
// id may add up to more than its 108 bytes. The name is good while dir is open.
func shortenPath(path string) (short string, dir *os.File, err error) {
	fd, err := unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", nil, &os.PathError{Op: "open", Path: filepath.Dir(path), Err: err}
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", fd, filepath.Base(path)), os.NewFile(uintptr(fd), filepath.Dir(path)), nil
}

// NewHandler serves s as route.go lays out.
func NewHandler(s Service) http.Handler {
	mux := http.NewServeMux()
	get(mux, "GET "+pathProcesses, s.Processes)
	get(mux, "GET "+pathStats, s.Stats)
	get(mux, "GET "+pathGeneration, s.Generation)
	get(mux, "GET "+pathCheckpoints, s.Checkpoints)
	get(mux, "POST "+pathCheckpoints, s.Checkpoint)
	do(mux, "POST "+pathStart, s.Start)
	do(mux, "POST "+pathPause, s.Pause)
	do(mux, "POST "+pathResume, s.Resume)
	do(mux, "POST "+pathShutdown, s.Shutdown)
	tell(mux, "POST "+pathSignal, requestTime, s.Signal)
	tell(mux, "POST "+pathUpdate, requestTime, func(ctx context.Context, r specs.LinuxResources) error { return s.Update(ctx, r) })
	tell(mux, "POST "+pathImage, imageTime, s.SaveImage)
	tell(mux, "POST "+pathFail, requestTime, s.Fail)
	mux.HandleFunc("POST "+pathExecGuard, func(w http.ResponseWriter, r *http.Request) { guardExec(w, r, s) })
	onSeq(mux, "POST "+pathCheckpoints+"/{seq}/verify", s.VerifyCheckpoint)
	onSeq(mux, "DELETE "+pathCheckpoints+"/{seq}", s.RemoveCheckpoint)
	mux.HandleFunc("GET "+pathWait, func(w http.ResponseWriter, r *http.Request) {
		status, err := s.Wait(r.Context())
		answer(w, status, err)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		answerError(w, badRequest("no such request: %s %s", r.Method, r.URL.Path))
	})
	return mux
}

// get serves a method with a result and without an argument.
func get[T any](mux *http.ServeMux, pattern string, call func(context.Context) (T, error)) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), requestTime)
		defer cancel()
		v, err := call(ctx)
		answer(w, v, err)
	})
}

// do serves a method without argument and result.
func do(mux *http.ServeMux, pattern string, call func(context.Context) error) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), requestTime)
		defer cancel()
		answerDone(w, call(ctx))
	})
}

// tell serves a method with an argument and without a result, for at most the
// time d.
func tell[T any](mux *http.ServeMux, pattern string, d time.Duration, call func(context.Context, T) error) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), d)
		defer cancel()
		var v T
		if err := decode(http.MaxBytesReader(w, r.Body, maxRequest), &v); err != nil {
			answerError(w, badRequest("decode request: %v", err))
			return
		}
		answerDone(w, call(ctx, v))
	})
}

// onSeq serves a method about one checkpoint.
func onSeq(mux *http.ServeMux, pattern string, call func(context.Context, checkpoint.Seq) error) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), requestTime)
		defer cancel()
		seq, err := strconv.ParseUint(r.PathValue("seq"), 10, 64)
		if err != nil {
			answerError(w, badRequest("checkpoint %q is not a number", r.PathValue("seq")))
			return
		}
		answerDone(w, call(ctx, checkpoint.Seq(seq)))
	})
}

func badRequest(format string, args ...any) *Error {
	return &Error{Code: errdefs.CodeRequest, Message: fmt.Sprintf(format, args...)}
}

// decode reads exactly one JSON value without unknown members.
func decode(r io.Reader, v any) error {
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one value")
	}
	return nil
}

func answer(w http.ResponseWriter, v any, err error) {
	if err != nil {
		answerError(w, Classify(err))
		return
	}
	b, err := json.Marshal(v)
	if err != nil {
		answerError(w, Classify(fmt.Errorf("encode answer: %w", err)))
		return
	}
	write(w, http.StatusOK, b)
}

func answerDone(w http.ResponseWriter, err error) {
	if err != nil {
		answerError(w, Classify(err))
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func answerError(w http.ResponseWriter, e *Error) {
	b, err := json.Marshal(e)
	if err != nil {
		b = []byte(`{"code":"internal","message":"encode error"}`)
	}
	write(w, statusOf(e.Code), b)
}

func write(w http.ResponseWriter, status int, b []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// A client that has gone away is no concern of the supervisor.
	_, _ = w.Write(append(b, '\n'))
}
