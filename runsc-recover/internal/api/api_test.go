package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/checkpoint"
	"runsc-recover/oci/errdefs"
)

// fake is a Service that notes its requests and answers with err, or with fixed
// values.
type fake struct {
	asked []any
	err   error
}

func (f *fake) note(v ...any) error {
	f.asked = append(f.asked, v...)
	return f.err
}

var (
	someManifest = checkpoint.Manifest{Version: 1, Seq: 9, Trigger: checkpoint.TriggerOperator, TakenAt: time.Unix(5, 6).UTC(), Files: []checkpoint.FileInfo{{Name: checkpoint.FilePages, Bytes: 4096, Hash: "0123456789abcdef"}}}
	someExit     = ExitStatus{Status: 139, At: time.Unix(7, 0).UTC()}
)

func (f *fake) Start(context.Context) error { return f.note("start") }
func (f *fake) Signal(_ context.Context, r SignalRequest) error {
	return f.note("signal", r)
}
func (f *fake) Pause(context.Context) error  { return f.note("pause") }
func (f *fake) Resume(context.Context) error { return f.note("resume") }
func (f *fake) Processes(context.Context) ([]Process, error) {
	return []Process{{PID: 1, Cmd: "sh"}}, f.note("processes")
}
func (f *fake) Stats(context.Context) (Stats, error) {
	return Stats{MemoryUsage: 1 << 40}, f.note("stats")
}
func (f *fake) Update(_ context.Context, r specs.LinuxResources) error { return f.note("update", r) }
func (f *fake) Generation(context.Context) (Generation, error) {
	return Generation{Number: 2, Root: "/r", ID: "x"}, f.note("generation")
}
func (f *fake) Checkpoint(context.Context) (checkpoint.Manifest, error) {
	return someManifest, f.note("checkpoint")
}
func (f *fake) SaveImage(_ context.Context, r SaveImageRequest) error { return f.note("image", r) }
func (f *fake) Checkpoints(context.Context) ([]CheckpointEntry, error) {
	return []CheckpointEntry{{Manifest: someManifest, Error: "damaged"}}, f.note("checkpoints")
}
func (f *fake) VerifyCheckpoint(_ context.Context, s checkpoint.Seq) error {
	return f.note("verify", s)
}
func (f *fake) RemoveCheckpoint(_ context.Context, s checkpoint.Seq) error {
	return f.note("remove", s)
}
func (f *fake) Fail(_ context.Context, r FailRequest) error { return f.note("fail", r) }
func (f *fake) Wait(context.Context) (ExitStatus, error)    { return someExit, f.note("wait") }
func (f *fake) KillExec(_ context.Context, p ExecProcess) error {
	return f.note("kill exec", p)
}
func (f *fake) Shutdown(context.Context) error { return f.note("shutdown") }

// serve runs s behind a socket whose path is longer than a socket address.
func serve(t *testing.T, s Service) (*Client, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", 120))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "control.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	srv := NewServer(s)
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return NewClient(path), path
}

// drop makes a method's answer part of the comparison.
func drop[T any](v T, err error) (any, error) { return v, err }

func methods(ctx context.Context, c Operations) map[string]func() (any, error) {
	limit := int64(5)
	none := func(err error) (any, error) { return nil, err }
	return map[string]func() (any, error){
		"Start":     func() (any, error) { return none(c.Start(ctx)) },
		"Signal":    func() (any, error) { return none(c.Signal(ctx, SignalRequest{Signal: 9, All: true})) },
		"Pause":     func() (any, error) { return none(c.Pause(ctx)) },
		"Resume":    func() (any, error) { return none(c.Resume(ctx)) },
		"Processes": func() (any, error) { return drop(c.Processes(ctx)) },
		"Stats":     func() (any, error) { return drop(c.Stats(ctx)) },
		"Update": func() (any, error) {
			return none(c.Update(ctx, specs.LinuxResources{Pids: &specs.LinuxPids{Limit: limit}}))
		},
		"Generation": func() (any, error) { return drop(c.Generation(ctx)) },
		"Checkpoint": func() (any, error) { return drop(c.Checkpoint(ctx)) },
		"SaveImage": func() (any, error) {
			return none(c.SaveImage(ctx, SaveImageRequest{ImagePath: "/i", LeaveRunning: true}))
		},
		"Checkpoints":      func() (any, error) { return drop(c.Checkpoints(ctx)) },
		"VerifyCheckpoint": func() (any, error) { return none(c.VerifyCheckpoint(ctx, 1<<63)) },
		"RemoveCheckpoint": func() (any, error) { return none(c.RemoveCheckpoint(ctx, 3)) },
		"Fail":             func() (any, error) { return none(c.Fail(ctx, FailRequest{Code: -1, Message: "käse\n"})) },
		"Wait":             func() (any, error) { return drop(c.Wait(ctx)) },
		"Shutdown":         func() (any, error) { return none(c.Shutdown(ctx)) },
	}
}

// TestRoundTrip compares each method called through the socket with the same
// method called directly: arguments, answer and error.
func TestRoundTrip(t *testing.T) {
	operations := reflect.TypeFor[Operations]()
	for i := range operations.NumMethod() {
		name := operations.Method(i).Name
		for _, failure := range []error{nil, fmt.Errorf("kill it: %w", errdefs.ErrNotRunning), &Error{Code: errdefs.CodeUnsavable, Message: "holds a raw socket", Next: "close it"}} {
			t.Run(fmt.Sprintf("%s/%v", name, failure), func(t *testing.T) {
				local, remote := &fake{err: failure}, &fake{err: failure}
				client, _ := serve(t, remote)
				want, _ := methods(t.Context(), local)[name]()
				got, err := methods(t.Context(), client)[name]()
				if !reflect.DeepEqual(remote.asked, local.asked) {
					t.Errorf("service was asked %v, want %v", remote.asked, local.asked)
				}
				if failure != nil {
					checkError(t, err, failure)
				} else if err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("got %+v, %v, want %+v", got, err, want)
				}
			})
		}
	}
}

func checkError(t *testing.T, got, want error) {
	t.Helper()
	if got == nil || got.Error() != want.Error() || errdefs.CodeOf(got) != errdefs.CodeOf(want) {
		t.Errorf("error %v (code %s), want %v (code %s)", got, errdefs.CodeOf(got), want, errdefs.CodeOf(want))
	}
	if errors.Is(want, errdefs.ErrNotRunning) != errors.Is(got, errdefs.ErrNotRunning) {
		t.Errorf("errors.Is differs for %v", got)
	}
}

func TestClassify(t *testing.T) {
	for _, c := range []struct {
		err  error
		code errdefs.Code
	}{
		{fmt.Errorf("open 3: %w", checkpoint.ErrNotFound), errdefs.CodeCheckpointMissing},
		{checkpoint.ErrDamaged, errdefs.CodeCheckpointDamaged},
		{checkpoint.ErrFull, errdefs.CodeStoreFull},
		{context.DeadlineExceeded, errdefs.CodeTimeout},
		{errors.New("odd"), errdefs.CodeInternal},
		{fmt.Errorf("a: %w", &Error{Code: errdefs.CodeHook, Message: "m", Next: "n"}), errdefs.CodeHook},
	} {
		got := Classify(c.err)
		if got.Code != c.code || got.Error() != c.err.Error() {
			t.Errorf("Classify(%v) = %s %q", c.err, got.Code, got)
		}
	}
	if Classify(nil) != nil {
		t.Error("Classify(nil) is an error")
	}
}

// TestRejects sends requests as another client might write them.
func TestRejects(t *testing.T) {
	_, path := serve(t, &fake{})
	raw := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, path) }}}
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "/v1/signal", `{"signal":9}`, http.StatusNoContent},
		{"POST", "/v1/signal", `{"signal":9,"extra":1}`, http.StatusBadRequest},
		{"POST", "/v1/signal", `{"signal":9} {}`, http.StatusBadRequest},
		{"POST", "/v1/signal", `{"signal":99999999999999999999}`, http.StatusBadRequest},
		{"POST", "/v1/signal", "", http.StatusBadRequest},
		{"POST", "/v1/fail", `{"message":"` + strings.Repeat("x", maxRequest) + `"}`, http.StatusBadRequest},
		{"POST", "/v1/checkpoints/-1/verify", "", http.StatusBadRequest},
		{"DELETE", "/v1/checkpoints/99999999999999999999", "", http.StatusBadRequest},
		{"GET", "/v1/nothing", "", http.StatusBadRequest},
		{"GET", "/v1/start", "", http.StatusBadRequest},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, "http://x"+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := raw.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != c.status {
			t.Errorf("%s %s %.40s: status %d, want %d", c.method, c.path, c.body, resp.StatusCode, c.status)
		}
	}
}

func TestSocketMode(t *testing.T) {
	_, path := serve(t, &fake{})
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if fi.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", fi.Mode())
	}
}

// TestSupervisorGone covers the ways in which nobody answers.
func TestSupervisorGone(t *testing.T) {
	dir := t.TempDir()
	stale := filepath.Join(dir, "stale")
	l, err := Listen(stale)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	dying := filepath.Join(dir, "dying")
	d, err := Listen(dying)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	go func() {
		if c, err := d.Accept(); err == nil {
			c.Close()
		}
	}()
	for _, path := range []string{filepath.Join(dir, "missing"), filepath.Join(dir, "no", "dir"), stale, dying} {
		if _, err := NewClient(path).Stats(t.Context()); errdefs.CodeOf(err) != errdefs.CodeSupervisorGone {
			t.Errorf("%s: error %v, code %s", filepath.Base(path), err, errdefs.CodeOf(err))
		}
	}
}

func TestClientGivesUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // accepts by the kernel's backlog, and stays silent
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := NewClient(path).Stats(ctx); errdefs.CodeOf(err) != errdefs.CodeTimeout {
		t.Errorf("error %v, code %s", err, errdefs.CodeOf(err))
	}
}
