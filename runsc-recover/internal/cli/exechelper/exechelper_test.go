package exechelper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/containerd/console"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/oci/errdefs"
	"runsc-recover/runsc-recover/internal/api"
	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/test/expect"
)

// TestMain is also the helper, which is this binary again.
func TestMain(m *testing.M) {
	i := slices.Index(os.Args, Command)
	if i < 0 {
		os.Exit(m.Run())
	}
	n, err := strconv.Atoi(strings.TrimPrefix(os.Args[i+1], "--"+FilesFlag+"="))
	if err != nil {
		os.Exit(100)
	}
	status, err := Serve(context.Background(), process, n)
	switch {
	case errors.Is(err, ErrReported):
		os.Exit(101)
	case err != nil:
		os.Exit(102)
	}
	os.Exit(status)
}

// process stands for gVisor: it does as its process's arguments say.
func process(_ context.Context, h sandbox.Handle, o ExecOptions) (status int, err error) {
	args := o.Process.Args
	switch args[0] {
	case "fail":
		return 0, errdefs.Errorf(errdefs.CodeUnsupported, "no %s in %s", args[1], h.ID)
	case "die":
		os.Exit(7)
	}
	if err := o.Started(12); err != nil {
		return 0, err
	}
	switch args[0] {
	case "status":
		return strconv.Atoi(args[1])
	case "sleep":
		_, _ = io.Copy(io.Discard, o.Files[3]) // until the test closes its end
	case "terminal":
		c, err := console.ConsoleFromFile(o.Files[0])
		if err != nil {
			return 1, nil
		}
		if size, err := c.Size(); err != nil || size.Height != 10 || size.Width != 20 {
			return 2, nil
		}
	}
	return 0, nil
}

// supervisor is a Service that notes the processes that it is to kill.
type supervisor struct {
	api.Service // nil: a method that no test expects
	killed      chan api.ExecProcess
}

func (s *supervisor) KillExec(_ context.Context, p api.ExecProcess) error {
	s.killed <- p
	return nil
}

func request(t *testing.T, args ...string) (Request, *supervisor) {
	t.Helper()
	s := &supervisor{killed: make(chan api.ExecProcess, 1)}
	socket := filepath.Join(t.TempDir(), "s")
	l, err := api.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := api.NewServer(s)
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return Request{Handle: sandbox.Handle{Root: "/r", ID: "x"}, Generation: 3, Socket: socket, Process: &specs.Process{Args: args}}, s
}

func wait(t *testing.T, h *Helper) int {
	t.Helper()
	state, err := h.Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return state.ExitCode()
}

func TestHelperHasTheStatus(t *testing.T) {
	r, s := request(t, "status", "42")
	h, err := Start(r, StartOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	expect.Equal(t, "status", wait(t, h), 42)
	expect.Equal(t, "killed", len(s.killed), 0)
}

func TestHelperReportsFailures(t *testing.T) {
	r, _ := request(t, "fail", "memory")
	_, err := Start(r, StartOptions{})
	if errdefs.CodeOf(err) != errdefs.CodeUnsupported || err.Error() != "no memory in x" {
		t.Errorf("refused: %v", err)
	}
	r.Process.Args = []string{"die"}
	if _, err = Start(r, StartOptions{}); errdefs.CodeOf(err) != errdefs.CodeInternal || !strings.Contains(fmt.Sprint(err), "exit status 7") {
		t.Errorf("dead: %v", err)
	}
	r.Process.Args, r.Socket = []string{"status", "0"}, "/does/not/exist"
	if _, err = Start(r, StartOptions{}); errdefs.CodeOf(err) != errdefs.CodeSupervisorGone {
		t.Errorf("without supervisor: %v", err)
	}
}

// TestKilledHelper kills a helper, which can't take its process along.
func TestKilledHelper(t *testing.T) {
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	r, s := request(t, "sleep")
	h, err := Start(r, StartOptions{Files: []*os.File{in}})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	in.Close()
	expect.Equal(t, "kill", h.Kill(), nil)
	select {
	case p := <-s.killed:
		expect.Equal(t, "killed", p, api.ExecProcess{Generation: 3, PID: 12})
	case <-time.After(time.Minute):
		t.Error("the process was left")
	}
	expect.Equal(t, "status", wait(t, h), -1)
}

func TestHelperHasTheTerminal(t *testing.T) {
	r, _ := request(t, "terminal")
	r.Process.Terminal = true
	r.Process.ConsoleSize = &specs.Box{Height: 10, Width: 20}
	h, err := Start(r, StartOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	expect.Equal(t, "status", wait(t, h), 0)
}

func TestBadRequests(t *testing.T) {
	for _, text := range []string{"", "{", "[]", `{"generation":"x"}`} {
		in, out, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(out, text); err != nil {
			t.Fatal(err)
		}
		out.Close()
		if r, err := readRequest(in); err == nil {
			t.Errorf("%q: %+v", text, r)
		}
	}
}
