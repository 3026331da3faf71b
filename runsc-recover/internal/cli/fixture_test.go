package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/checkpoint"
	"runsc-recover/oci/statedir"
	"runsc-recover/runsc-recover/internal/api"
)

// result is the outcome of a command line.
type result struct {
	status      int
	out, errout string
}

// command runs a command line in this process, below root.
func command(t *testing.T, root string, args ...string) result {
	t.Helper()
	return commandWith(t, "", append([]string{"--root", root}, args...)...)
}

func commandWith(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	var out, errout bytes.Buffer
	status := Run(t.Context(), append([]string{"runsc-recover"}, args...), Options{In: strings.NewReader(stdin), Out: &out, Err: &errout})
	return result{status, out.String(), errout.String()}
}

// service is a supervisor that notes its requests. Requests for which nothing is
// set here succeed and return nothing.
type service struct {
	api.Service // nil: a method that no test expects
	asked       []string
	err         error
	stats       api.Stats
	checkpoints []api.CheckpointEntry
	processes   []api.Process
	exit        api.ExitStatus
}

func (s *service) note(format string, args ...any) error {
	s.asked = append(s.asked, fmt.Sprintf(format, args...))
	return s.err
}

func (s *service) Start(context.Context) error  { return s.note("start") }
func (s *service) Pause(context.Context) error  { return s.note("pause") }
func (s *service) Resume(context.Context) error { return s.note("resume") }
func (s *service) Signal(_ context.Context, r api.SignalRequest) error {
	return s.note("signal %d %t", r.Signal, r.All)
}
func (s *service) Fail(_ context.Context, r api.FailRequest) error {
	return s.note("fail %d %q", r.Code, r.Message)
}
func (s *service) Update(_ context.Context, r specs.LinuxResources) error {
	return s.note("update %d %d", *r.Memory.Limit, r.Pids.Limit)
}
func (s *service) Stats(context.Context) (api.Stats, error) { return s.stats, s.note("stats") }
func (s *service) Processes(context.Context) ([]api.Process, error) {
	return s.processes, s.note("processes")
}
func (s *service) Checkpoint(context.Context) (checkpoint.Manifest, error) {
	return checkpoint.Manifest{Seq: 9}, s.note("checkpoint")
}
func (s *service) Checkpoints(context.Context) ([]api.CheckpointEntry, error) {
	return s.checkpoints, s.note("checkpoints")
}
func (s *service) VerifyCheckpoint(_ context.Context, seq checkpoint.Seq) error {
	return s.note("verify %d", seq)
}
func (s *service) RemoveCheckpoint(_ context.Context, seq checkpoint.Seq) error {
	return s.note("remove %d", seq)
}
func (s *service) SaveImage(_ context.Context, r api.SaveImageRequest) error {
	return s.note("image %s %t", r.ImagePath, r.LeaveRunning)
}
func (s *service) Wait(ctx context.Context) (api.ExitStatus, error) {
	return s.exit, s.note("wait")
}

// makeContainer puts a container below root whose supervisor is this process,
// served by s unless that is nil.
func makeContainer(t *testing.T, root, id string, status statedir.Status, s api.Service) *statedir.State {
	t.Helper()
	dir, lock, err := statedir.MakeDir(root, id)
	if err != nil {
		t.Fatal(err)
	}
	lock.Unlock()
	self, err := statedir.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	state := &statedir.State{
		Version: statedir.StateVersion, OCIVersion: "1.2.0", ID: id, Status: status,
		Bundle: "/bundles/" + id, Rootfs: "/bundles/" + id + "/rootfs",
		Created:     time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC),
		Annotations: map[string]string{"key": "value"}, Owner: "root", Supervisor: self,
	}
	if err := state.Save(dir); err != nil {
		t.Fatal(err)
	}
	if s == nil {
		return state
	}
	l, err := api.Listen(dir.ControlSocket())
	if err != nil {
		t.Fatal(err)
	}
	srv := api.NewServer(s)
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return state
}
