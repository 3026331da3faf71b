package cgroup

import (
	"errors"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/oci/errdefs"
	"runsc-recover/test/expect"
)

func TestReadLimitHits(t *testing.T) {
	v2 := t.TempDir()
	writeFile(t, v2, "memory.events", "low 0\nhigh 0\nmax 9\noom 4\noom_kill 3\noom_group_kill 0\n")
	writeFile(t, v2, "pids.events", "max 7\n")
	expect.Equal(t, "version 2", ReadLimitHits([]string{v2}), LimitHits{OOMKills: 3, RefusedForks: 7})
	memory, pids := t.TempDir(), t.TempDir()
	writeFile(t, memory, "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
	writeFile(t, pids, "pids.events", "max 1\n")
	expect.Equal(t, "version 1", ReadLimitHits([]string{memory, pids}), LimitHits{OOMKills: 2, RefusedForks: 1})
	expect.Equal(t, "no cgroup", ReadLimitHits([]string{"/no/such/cgroup"}), LimitHits{})
}

func TestPopulated(t *testing.T) {
	some, none := t.TempDir(), t.TempDir()
	for dir, procs := range map[string]string{some: "12\n13\n", none: ""} {
		writeFile(t, dir, "cgroup.procs", procs)
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
			writeFile(t, dir, name, text)
			expect.Equal(t, name+" "+text, Frozen([]string{"/no/such/cgroup", dir}), want)
		}
	}
}

func TestUnifiedLimitsNeedCgroup2(t *testing.T) {
	named := &specs.LinuxResources{Unified: map[string]string{"memory.min": "131072"}}
	expect.Equal(t, "version 1", errdefs.CodeOf(checkUnified(named, false)), errdefs.CodeConfigInvalid)
	expect.Equal(t, "version 2", checkUnified(named, true), nil)
	expect.Equal(t, "none", checkUnified(&specs.LinuxResources{}, false), nil)
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
