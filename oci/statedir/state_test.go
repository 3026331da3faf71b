package statedir

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"runsc-recover/checkpoint/config"
	"runsc-recover/oci/errdefs"
)

func newState(t *testing.T) (Dir, *State) {
	t.Helper()
	d, l, err := MakeDir(t.TempDir(), "web")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Unlock)
	self, err := FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	return d, &State{
		Version: StateVersion, OCIVersion: "1.2.0", ID: "web", Status: StatusRunning,
		Bundle: "/b", Rootfs: "/b/rootfs", Created: time.Unix(1, 2).UTC(),
		Annotations: map[string]string{"k": "v"}, Supervisor: self,
		Policy:    config.Config{Enabled: true, Interval: time.Second},
		Sandboxes: []Sandbox{{Number: 1, ID: "g", Root: "/r", Processes: []Process{self}}},
		Exit:      &Exit{Status: 3, At: time.Unix(5, 0).UTC()},
	}
}

func TestStateRoundTrip(t *testing.T) {
	d, want := newState(t)
	if _, err := LoadState(d); !errors.Is(err, errdefs.ErrNotExist) {
		t.Errorf("before the first save: %v", err)
	}
	for range 2 { // the second replaces the first
		if err := want.Save(d); err != nil {
			t.Fatal(err)
		}
	}
	got, err := LoadState(d)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	left, err := filepath.Glob(filepath.Join(string(d), ".state*"))
	if err != nil || len(left) > 0 {
		t.Errorf("temporary files left: %v", left)
	}
	fi, err := os.Stat(d.StateFile())
	if err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", fi.Mode(), err)
	}
}

func TestLoadStateRefuses(t *testing.T) {
	d, _ := newState(t)
	for name, c := range map[string]struct {
		content string
		code    errdefs.Code
	}{
		"empty":           {"", errdefs.CodeInternal},
		"truncated":       {`{"version":1,"id":"we`, errdefs.CodeInternal},
		"another version": {`{"version":2}`, errdefs.CodeUnsupported},
	} {
		if err := os.WriteFile(d.StateFile(), []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadState(d); err == nil || errdefs.CodeOf(err) != c.code || errors.Is(err, errdefs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCurrentStatus(t *testing.T) {
	_, s := newState(t)
	gone := Process{Pid: s.Supervisor.Pid, StartTime: s.Supervisor.StartTime + 1}
	for _, c := range []struct {
		status     Status
		supervisor Process
		want       Status
	}{
		{StatusRunning, s.Supervisor, StatusRunning},
		{StatusPaused, s.Supervisor, StatusPaused},
		{StatusCreated, gone, StatusStopped},
		{StatusRunning, gone, StatusStopped},
		{StatusStopped, s.Supervisor, StatusStopped},
	} {
		s := State{Status: c.status, Supervisor: c.supervisor}
		if got := s.CurrentStatus(); got != c.want {
			t.Errorf("%s with %v: %s, want %s", c.status, c.supervisor, got, c.want)
		}
		if pid := s.Spec(c.want).Pid; (pid == 0) != (c.want == StatusStopped) {
			t.Errorf("pid of a %s container is %d", c.want, pid)
		}
	}
}
