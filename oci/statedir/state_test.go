package statedir

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/checkpoint/config"
	"runsc-recover/oci/errdefs"
	"runsc-recover/test/expect"
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
		"no version":      {`{}`, errdefs.CodeUnsupported},
		"no object":       {`[]`, errdefs.CodeInternal},
		"another type":    {`{"version":1,"supervisor":7}`, errdefs.CodeInternal},
		"a negative time": {`{"version":1,"supervisor":{"pid":1,"start_time":-1}}`, errdefs.CodeInternal},
		"two":             {`{"version":1}{"version":1}`, errdefs.CodeInternal},
		"too large":       {`{"version":1,"id":"` + strings.Repeat("x", maxStateSize) + `"}`, errdefs.CodeInternal},
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

// The file outlives the binary that wrote it: its names stay.
func TestStateFormat(t *testing.T) {
	d, s := newState(t)
	s.Supervisor = Process{Pid: 7, StartTime: 8}
	s.Sandboxes[0].Processes = []Process{{Pid: 9, StartTime: 10}}
	s.Owner, s.Terminal, s.CgroupPaths, s.SystemdUnit, s.CheckpointError = "root", true, []string{"/c"}, "u.scope", "why"
	s.Hooks = &specs.Hooks{Poststop: []specs.Hook{{Path: "/h"}}}
	s.Standby = Standby{Kind: config.StandbyHot, Since: time.Unix(3, 0).UTC(), Generation: 2, Checkpoint: 4, Reason: "auto"}
	s.Policy = config.Config{}
	expect.Equal(t, "save", s.Save(d), nil)
	b, err := os.ReadFile(d.StateFile())
	expect.Equal(t, "error", err, nil)
	policy, err := json.Marshal(s.Policy)
	expect.Equal(t, "error", err, nil)
	expect.Equal(t, "file", string(b), `{"version":1,"ociVersion":"1.2.0","id":"web","status":"running","bundle":"/b","rootfs":"/b/rootfs",`+
		`"created":"1970-01-01T00:00:01.000000002Z","annotations":{"k":"v"},"owner":"root","terminal":true,"supervisor":{"pid":7,"start_time":8},`+
		`"policy":`+string(policy)+`,"hooks":{"poststop":[{"path":"/h"}]},"cgroup_paths":["/c"],"systemd_unit":"u.scope",`+
		`"generations":[{"number":1,"id":"g","root":"/r","processes":[{"pid":9,"start_time":10}]}],`+
		`"standby":{"kind":"hot","since":"1970-01-01T00:00:03Z","generation":2,"checkpoint":4,"reason":"auto"},`+
		`"checkpoint_error":"why","exit":{"status":3,"at":"1970-01-01T00:00:05Z"}}`)
}

// Fields of a later version are no fault: it may have added them.
func TestLoadStateIgnoresUnknownFields(t *testing.T) {
	d, _ := newState(t)
	if err := os.WriteFile(d.StateFile(), []byte(`{"version":1,"id":"web","later":{"x":1}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := LoadState(d)
	if err != nil || s.ID != "web" {
		t.Errorf("got %+v, %v", s, err)
	}
}

func FuzzDecodeState(f *testing.F) {
	f.Add([]byte(`{"version":1,"supervisor":{"pid":1,"start_time":2},"generations":[{"processes":[{"pid":-1}]}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := decodeState(text, "web")
		if err != nil {
			return
		}
		s.CurrentStatus() // must not panic, whatever the pids
		if _, err := json.Marshal(s); err != nil {
			t.Errorf("can't be written again: %v", err)
		}
	})
}
