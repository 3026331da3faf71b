package cgroup

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/cgroups/v3"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/oci/errdefs"
	"runsc-recover/test/expect"
)

func TestReadLimitHits(t *testing.T) {
	write := func(dir, name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	v2 := t.TempDir()
	write(v2, "memory.events", "low 0\nhigh 0\nmax 9\noom 4\noom_kill 3\noom_group_kill 0\n")
	write(v2, "pids.events", "max 7\n")
	expect.Equal(t, "version 2", ReadLimitHits([]string{v2}), LimitHits{OOMKills: 3, RefusedForks: 7})
	memory, pids := t.TempDir(), t.TempDir()
	write(memory, "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
	write(pids, "pids.events", "max 1\n")
	expect.Equal(t, "version 1", ReadLimitHits([]string{memory, pids}), LimitHits{OOMKills: 2, RefusedForks: 1})
	expect.Equal(t, "no cgroup", ReadLimitHits([]string{"/no/such/cgroup"}), LimitHits{})
}

func TestPopulated(t *testing.T) {
	some, none := t.TempDir(), t.TempDir()
	for dir, procs := range map[string]string{some: "12\n13\n", none: ""} {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(procs), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	expect.Equal(t, "processes", Populated([]string{none, some, "/no/such/cgroup"}), 2)
}

func TestFrozen(t *testing.T) {
	for want, files := range map[bool]map[string]string{
		true:  {"freezer.state": "FROZEN\n", "cgroup.freeze": "1\n"},
		false: {"freezer.state": "THAWED\n", "cgroup.freeze": "0\n"},
	} {
		for name, text := range files {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			expect.Equal(t, name+" "+text, Frozen([]string{"/no/such/cgroup", dir}), want)
		}
	}
}

func TestUnifiedLimitsNeedCgroup2(t *testing.T) {
	named := &specs.LinuxResources{Unified: map[string]string{"memory.min": "131072"}}
	expect.Equal(t, "version 1", errdefs.CodeOf(checkUnified(named, cgroups.Hybrid)), errdefs.CodeConfigInvalid)
	expect.Equal(t, "version 2", checkUnified(named, cgroups.Unified), nil)
	expect.Equal(t, "none", checkUnified(&specs.LinuxResources{}, cgroups.Legacy), nil)
}

func TestExplainLimits(t *testing.T) {
	cause := errors.New("EOF")
	expect.Equal(t, "success", LimitHits{OOMKills: 1}.Explain(nil), nil)
	expect.Equal(t, "another reason", LimitHits{}.Explain(cause), cause)
	for want, h := range map[string]LimitHits{
		"memory.limit": {OOMKills: 1, RefusedForks: 1},
		"pids.limit":   {RefusedForks: 1},
	} {
		err := h.Explain(cause)
		if errdefs.CodeOf(err) != errdefs.CodeLimit || !errors.Is(err, cause) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "EOF") {
			t.Errorf("%+v: %v", h, err)
		}
	}
}
