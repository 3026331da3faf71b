package supervisor

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/rollback"
	"runsc-recover/sentry/wire"
)

func TestPlanNetwork(t *testing.T) {
	with := func(ns ...specs.LinuxNamespace) *specs.Spec {
		return &specs.Spec{Linux: &specs.Linux{Namespaces: ns}}
	}
	fresh := specs.LinuxNamespace{Type: specs.NetworkNamespace}
	named := specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: "/var/run/netns/x"}
	for _, c := range []struct {
		name     string
		spec     *specs.Spec
		rootless bool
		want     netPlan
	}{
		{"no linux", &specs.Spec{}, false, netPlan{}},
		{"host", with(specs.LinuxNamespace{Type: specs.PIDNamespace}), false, netPlan{}},
		{"new", with(fresh), false, netPlan{own: true}},
		{"new without privileges", with(fresh), true, netPlan{}},
		{"named", with(named), false, netPlan{path: "/var/run/netns/x"}},
		{"named without privileges", with(named), true, netPlan{path: "/var/run/netns/x"}},
	} {
		expect(t, c.name, planNetwork(c.spec, c.rootless), c.want)
	}
	in := with(fresh)
	out := withSupervisorNetNS(in, netPlan{own: true}, 42)
	expect(t, "path given to sandboxes", out.Linux.Namespaces[0].Path, "/proc/42/ns/net")
	expect(t, "the original", in.Linux.Namespaces[0].Path, "")
}

func TestNewNetNSHasLoopback(t *testing.T) {
	var flags []byte
	err := inNetNS(netPlan{own: true}, func() (err error) {
		// sysfs shows its mounter's interfaces, so procfs is asked.
		flags, err = os.ReadFile("/proc/thread-self/net/if_inet6")
		return err
	})
	if os.Geteuid() != 0 {
		expect(t, "without privileges", errors.Is(err, os.ErrPermission), true)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(flags, []byte("lo")) {
		t.Errorf("loopback is not up: %q", flags)
	}
}

func TestSystemdPaths(t *testing.T) {
	slice, unit, err := parseSystemdPath("machine.slice:libpod:abc")
	if err != nil || slice != "machine.slice" || unit != "libpod-abc.scope" {
		t.Errorf("got %q %q %v", slice, unit, err)
	}
	slice, unit, err = parseSystemdPath("::abc")
	if err != nil || slice != "system.slice" || unit != "-abc.scope" {
		t.Errorf("got %q %q %v", slice, unit, err)
	}
	for _, bad := range []string{"/a/b", "a:b", "a:b:", "a:b:c.slice"} {
		if _, _, err := parseSystemdPath(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	for slice, want := range map[string]string{
		"-.slice":       "/",
		"a.slice":       "/a.slice",
		"a-b-c.slice":   "/a.slice/a-b.slice/a-b-c.slice",
		"machine.slice": "/machine.slice",
	} {
		expect(t, slice, expandSlice(slice), want)
	}
}

func TestEnforceableLeavesTheOriginalAlone(t *testing.T) {
	zero, weight, limit, on := uint64(0), uint16(0), int64(1<<20), false
	res := &specs.LinuxResources{
		Devices: []specs.LinuxDeviceCgroup{{Allow: false}},
		CPU:     &specs.LinuxCPU{Shares: &zero, Cpus: "0"},
		Memory:  &specs.LinuxMemory{Limit: &limit, Swap: new(int64), DisableOOMKiller: &on},
		BlockIO: &specs.LinuxBlockIO{Weight: &weight},
		Pids:    &specs.LinuxPids{},
	}
	got := enforceable(res)
	if got.Devices != nil || got.CPU.Shares != nil || got.Memory.Swap != nil || got.Memory.DisableOOMKiller != nil ||
		got.BlockIO.Weight != nil || got.Pids != nil {
		t.Errorf("got %+v", got)
	}
	if got.CPU.Cpus != "0" || got.Memory.Limit != &limit {
		t.Errorf("what is set is gone: %+v", got)
	}
	if res.Devices == nil || res.CPU.Shares == nil {
		t.Error("the original changed")
	}
}

func TestLimitsAheadOfOthers(t *testing.T) {
	limit, swap, quota, period := int64(1), int64(2), int64(3), uint64(4)
	pair := &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: &limit, Swap: &swap},
		CPU:    &specs.LinuxCPU{Quota: &quota, Period: &period},
	}
	first := aheadOfOthers(pair)
	if first.Memory.Limit != nil || first.Memory.Swap != &swap || first.CPU.Period != nil || first.CPU.Quota != &quota {
		t.Errorf("got %+v", first)
	}
	single := &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}, CPU: &specs.LinuxCPU{Quota: &quota}}
	if first := aheadOfOthers(single); first != nil {
		t.Errorf("got %+v for limits without partners", first)
	}
}

func TestReaperTakesOnlyWhatNobodyElseDoes(t *testing.T) {
	var waited []int
	wait := func(pid int) { waited = append(waited, pid) }
	r := reaper{keep: func(pid int) bool { return pid == 1 }}
	expect(t, "another pass", r.pass([]int{1, 2}, wait), true)
	expect(t, "none yet", len(waited), 0)
	r.pass([]int{1, 2, 3}, wait)
	expect(t, "old zombie", slices.Equal(waited, []int{2}), true)
	r.pass([]int{1, 3}, wait)
	expect(t, "next", slices.Equal(waited, []int{2, 3}), true)
	expect(t, "nothing left", r.pass(nil, wait), false)
}

func TestRunClock(t *testing.T) {
	now := time.Unix(1000, 0)
	after := func(s int) time.Time { return now.Add(time.Duration(s) * time.Second) }
	var c runClock
	expect(t, "before", c.read(now), 0)
	c.start(after(0))
	expect(t, "running", c.read(after(2)), 2*time.Second)
	c.stop(after(3))
	c.stop(after(9))
	expect(t, "standing", c.read(after(9)), 3*time.Second)
	c.start(after(10))
	c.start(after(11))
	expect(t, "on", c.read(after(12)), 5*time.Second)
	c.set(time.Second)
	expect(t, "set back", c.read(after(20)), time.Second)
}

func TestBound(t *testing.T) {
	for _, c := range []struct {
		in   string
		n    int
		want string
	}{
		{"abc", 10, "abc"},
		{"abcdef", 3, "abc"},
		{"añ", 2, "a?"},
		{"\xff\xfeok", 10, "?ok"},
		{"", 0, ""},
	} {
		got := bound(c.in, c.n)
		expect(t, c.in, got, c.want)
		if len(got) > c.n {
			t.Errorf("%q is longer than %d", got, c.n)
		}
	}
}

func TestBoundCost(t *testing.T) {
	c := boundCost(checkpoint.Cost{Stop: time.Hour, Kernel: -1, Copy: time.Hour}, time.Second)
	expect(t, "pause", c.Pause(), time.Second)
	c = boundCost(checkpoint.Cost{Stop: 1, Kernel: 2, Copy: 3}, time.Second)
	expect(t, "honest", c.Pause(), 6)
}

func TestJournalIsBoundedAndReadable(t *testing.T) {
	j := journal{path: filepath.Join(t.TempDir(), "episodes.json")}
	now := time.Now()
	for n := range maxEpisodes + 5 {
		f := wire.Failure{Kind: wire.KindReported, Message: strings.Repeat("x", 2*wire.MaxFailureMessage)}
		if n < maxEpisodes {
			f.Message = ""
		}
		j.beginEpisode(rollback.BeginEpisode{Episode: n + 1}, f, now)
		j.beginAttempt(rollback.BeginAttempt{Attempt: 1, Level: 1, Seq: 3}, now, time.Millisecond)
		j.endAttempt(rollback.EndAttempt{Outcome: rollback.OutcomeRecovered})
		j.endEpisode(rollback.EndEpisode{Outcome: rollback.OutcomeRecovered}, now)
	}
	if err := j.save(); err != nil {
		t.Fatal(err)
	}
	got, err := LoadEpisodes(j.path)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "kept", len(got), maxEpisodes)
	expect(t, "the newest", got[len(got)-1].Episode, maxEpisodes+5)
	expect(t, "message", len(got[len(got)-1].Message), wire.MaxFailureMessage)
	expect(t, "stop", got[0].Attempts[0].StopMS, 1)
}

func TestLoadEpisodesOfNone(t *testing.T) {
	got, err := LoadEpisodes(filepath.Join(t.TempDir(), "none"))
	expect(t, "error", err, nil)
	expect(t, "records", len(got), 0)
}

func TestLateAttemptNotesNothing(t *testing.T) {
	var j journal
	j.beginAttempt(rollback.BeginAttempt{}, time.Now(), 0)
	j.restored(1, madeCopy{})
	j.released(1)
	j.endAttempt(rollback.EndAttempt{})
	j.endEpisode(rollback.EndEpisode{}, time.Now())
	expect(t, "records", len(j.episodes), 0)
}

func TestLogIsBounded(t *testing.T) {
	var buf bytes.Buffer
	h := limitLog(slog.NewTextHandler(&buf, nil))
	log := slog.New(h)
	for range logBurst + 10 {
		log.Info("x")
	}
	if n := strings.Count(buf.String(), "\n"); n < logBurst || n > logBurst+5 {
		t.Errorf("%d records", n)
	}
	l := logLimit{tokens: 0, filled: time.Unix(0, 0), dropped: 7}
	ok, dropped := l.take(time.Unix(5, 0))
	expect(t, "refilled", ok, true)
	expect(t, "dropped", dropped, 7)
}

func TestLogLevelsAreLowerCase(t *testing.T) {
	var buf bytes.Buffer
	newLogger(&buf, "json", false).Error("broken")
	var rec struct{ Level, Msg string }
	if err := json.Unmarshal(buf.Bytes(), &rec); err != nil {
		t.Fatal(err)
	}
	expect(t, "level", rec.Level, "error")
	expect(t, "message", rec.Msg, "broken")
}

func TestShield(t *testing.T) {
	file := filepath.Join(t.TempDir(), "score")
	if err := os.WriteFile(file, []byte("7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	read := func() string {
		b, _ := os.ReadFile(file)
		return string(b)
	}
	s := raiseShield(file)
	expect(t, "raised", read(), "-999")
	s.expose(func() {
		s.expose(func() { expect(t, "exposed twice", read(), "7") })
		expect(t, "exposed", read(), "7")
	})
	expect(t, "raised again", read(), "-999")
	var none *oomShield
	ran := false
	none.expose(func() { ran = true })
	expect(t, "without a shield", ran, true)
}

func TestSnapshotOwns(t *testing.T) {
	var none Snapshot
	expect(t, "nothing", none.owns(1), false)
}

func TestRoomFor(t *testing.T) {
	const mib = 1 << 20
	ms := func(sizes ...int64) (out []checkpoint.Manifest) {
		for i, n := range sizes {
			out = append(out, checkpoint.Manifest{Seq: checkpoint.Seq(i + 1), Files: []checkpoint.FileInfo{{Bytes: n * mib}}})
		}
		return out
	}
	for _, c := range []struct {
		name   string
		use    memoryUse
		have   []checkpoint.Manifest
		pinned []checkpoint.Seq
		disk   bool
		grown  uint64
		drop   checkpoint.Seq
		ok     bool
	}{
		{"no limit", memoryUse{used: 1 << 40}, ms(100), nil, false, 0, 0, true},
		{"plenty", memoryUse{100 * mib, 1000 * mib}, ms(50, 50), nil, false, 0, 0, true},
		{"the oldest goes", memoryUse{400 * mib, 512 * mib}, ms(100, 100, 100), nil, false, 0, 1, false},
		{"the pinned one stays", memoryUse{400 * mib, 512 * mib}, ms(100, 100, 100), []checkpoint.Seq{1}, false, 0, 2, false},
		{"the newest stays", memoryUse{300 * mib, 384 * mib}, ms(100), nil, false, 0, 0, false},
		{"all are pinned", memoryUse{300 * mib, 384 * mib}, ms(10, 100), []checkpoint.Seq{1}, false, 0, 0, false},
		{"the first one", memoryUse{100 * mib, 512 * mib}, nil, nil, false, 0, 0, true},
		{"the first one has no room", memoryUse{300 * mib, 512 * mib}, nil, nil, false, 0, 0, false},
		{"on disk none makes room", memoryUse{400 * mib, 512 * mib}, ms(100, 100, 100), nil, true, 0, 0, false},
		{"the program has grown", memoryUse{300 * mib, 512 * mib}, ms(50), nil, true, 80, 0, false},
		{"on disk there is room", memoryUse{300 * mib, 512 * mib}, ms(100, 100, 100), nil, true, 0, 0, true},
	} {
		pinned := make(map[checkpoint.Seq]bool)
		for _, seq := range c.pinned {
			pinned[seq] = true
		}
		drop, ok := roomFor(c.use, c.grown*mib, c.have, pinned, !c.disk)
		if ok != c.ok || drop != c.drop {
			t.Errorf("%s: got %v %v, want %v %v", c.name, drop, ok, c.drop, c.ok)
		}
	}
	expect(t, "reclaimable", newMemoryUse(10, 4, 1<<62), memoryUse{used: 6})
}
