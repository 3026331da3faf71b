package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sys/unix"

	"runsc-recover/test/harness"
)

// onDisk makes a bundle that keeps its checkpoints in a directory, which is
// returned.
func onDisk(rt *harness.Runtime, b *harness.Bundle) string {
	store := filepath.Join(rt.Dir, "store")
	b.Recover("durability", "disk").Recover("store", store)
	return store
}

// checkpointFiles lists the files of the newest checkpoint in a store.
func checkpointFiles(t *testing.T, store string) []string {
	t.Helper()
	manifests, err := filepath.Glob(filepath.Join(store, "*", "*", "manifest.json"))
	if direct, _ := filepath.Glob(filepath.Join(store, "*", "manifest.json")); err != nil || len(manifests) == 0 {
		manifests = direct
	}
	if len(manifests) == 0 {
		t.Fatalf("no checkpoint in %s", store)
	}
	slices.Sort(manifests)
	files, err := filepath.Glob(filepath.Join(filepath.Dir(manifests[len(manifests)-1]), "*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// damage flips one bit in the middle of a file.
func damage(t *testing.T, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// newest is the number of the newest checkpoint.
func newest(c *harness.Container) uint64 {
	l := c.Checkpoints()
	return l[len(l)-1].Seq
}

// A flipped bit in any file of the newest checkpoint: the checkpoint before is
// gone back to, and the record says why.
func TestADamagedCheckpointIsPassedOver(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	// A hot standby would hold the checkpoint that is damaged afterwards.
	b := behave(rt, "serve").Recover("grace", "100ms").Recover("retain", "20").Recover("standby", "warm")
	store := onDisk(rt, b)
	c := rt.Start(b)
	c.Says("ready", 1)
	rt.Do("checkpoint", "--into-store", c.ID)
	names := checkpointFiles(t, store)
	for i := range names {
		before := newest(c)
		rt.Do("checkpoint", "--into-store", c.ID)
		damaged := newest(c)
		file := checkpointFiles(t, store)[i]
		damage(t, file)
		rt.Refused(1, "damaged", "checkpoints", "verify", c.ID, fmt.Sprint(damaged))
		rt.Do("fail", c.ID)
		episodes := c.Recovered(i + 1)
		passesOver(t, episodes[len(episodes)-1], damaged, before, "damaged")
	}
	rt.Do("kill", c.ID, "TERM")
	c.Exits(0)
}

// A copy's first checkpoint stores the pages that have changed since the checkpoint
// that it was restored from.
func TestACopysFirstCheckpointCostsItsChanges(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	c := rt.Start(behave(rt, "serve").Recover("grace", "0s"))
	c.Says("ready", 1)
	for i := range 3 {
		rt.Do("checkpoint", "--into-store", c.ID)
		rt.Do("fail", c.ID)
		c.Recovered(i + 1)
		rt.Do("checkpoint", "--into-store", c.ID)
		l := c.Checkpoints()
		if p := l[len(l)-1].Pages; p.Changed == 0 || 2*p.Changed > p.Bytes {
			t.Errorf("rollback %d: %d of %d bytes changed", i, p.Changed, p.Bytes)
		}
	}
	if log := c.Log(); strings.Contains(log, "misses a change") {
		t.Error(log)
	}
	rt.Do("kill", c.ID, "TERM")
	c.Exits(0)
}

// A flipped bit in the memory of the newest checkpoint: it comes out when the
// copy is given that page, before it runs or after.
func TestADamagedPageIsPassedOver(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	// To compare, the store would have read it before it is damaged, and know it.
	b := behave(rt, "serve").Recover("grace", "1s").Recover("verify", "false").Recover("standby", "warm")
	store := onDisk(rt, b)
	c := rt.Start(b)
	c.Says("ready", 1)
	rt.Do("checkpoint", "--into-store", c.ID)
	before := newest(c)
	rt.Do("checkpoint", "--into-store", c.ID)
	damaged := newest(c)
	damage(t, newestSegment(t, store))
	rt.Refused(1, "damaged", "checkpoints", "verify", c.ID, fmt.Sprint(damaged))
	rt.Do("fail", c.ID)
	passesOver(t, only(t, c.Recovered(1)), damaged, before, "damaged")
	rt.Do("kill", c.ID, "TERM")
	c.Exits(0)
}

// newestSegment is the file of the pages that came last.
func newestSegment(t *testing.T, store string) string {
	t.Helper()
	var files []string
	for _, pattern := range []string{"pages-*", "*/pages-*"} {
		found, err := filepath.Glob(filepath.Join(store, pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	if len(files) == 0 {
		t.Fatalf("no pages in %s", store)
	}
	return slices.Max(files)
}

// passesOver checks that an episode was got past from the checkpoint before
// and says why the one after it wasn't used, at no cost to the level.
func passesOver(t *testing.T, e harness.Episode, unusable, before uint64, why string) {
	t.Helper()
	last := e.Attempts[len(e.Attempts)-1]
	if last.CheckpointSeq != before || last.Level != 1 || last.Outcome != "recovered" {
		t.Errorf("went back to another than %d: %+v", before, e)
	}
	var reasons []string
	for _, a := range e.Attempts {
		reasons = append(reasons, a.Reasons...)
	}
	if text := strings.Join(reasons, "; "); !strings.Contains(text, fmt.Sprint("checkpoint ", unusable)) || !strings.Contains(text, why) {
		t.Errorf("the record doesn't say that checkpoint %d is %s: %s", unusable, why, text)
	}
}

// A checkpoint whose manifest is of another version is never used.
func TestACheckpointOfAnotherVersion(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	b := behave(rt, "serve").Recover("grace", "100ms").Recover("standby", "warm")
	store := onDisk(rt, b)
	c := rt.Start(b)
	c.Says("ready", 1)
	rt.Do("checkpoint", "--into-store", c.ID) // the next that isn't asked for is a day off
	before := newest(c)
	rt.Do("checkpoint", "--into-store", c.ID)
	other := newest(c)
	for _, file := range checkpointFiles(t, store) {
		if filepath.Base(file) == "manifest.json" {
			setVersion(t, file, 99)
		}
	}
	rt.Refused(1, "version", "checkpoints", "verify", c.ID, fmt.Sprint(other))
	rt.Do("fail", c.ID)
	passesOver(t, only(t, c.Recovered(1)), other, before, "version")
	rt.Do("kill", c.ID, "TERM")
	c.Exits(0)
}

// setVersion makes a manifest another version's, with the hash that goes with
// it: {"magic":…,"xxh64":"…","manifest":{"version":3,…}}.
func setVersion(t *testing.T, file string, version int) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var e struct {
		Hash     string          `json:"xxh64"`
		Manifest json.RawMessage `json:"manifest"`
	}
	if err := json.Unmarshal(text, &e); err != nil {
		t.Fatal(err)
	}
	manifest := bytes.Replace(e.Manifest, []byte(`"version":3`), fmt.Appendf(nil, `"version":%d`, version), 1)
	text = bytes.Replace(text, e.Manifest, manifest, 1)
	text = bytes.Replace(text, []byte(e.Hash), fmt.Appendf(nil, "%016x", xxhash.Sum64(manifest)), 1)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// mountStore gives the store a small file system of its own.
func mountStore(t *testing.T, store, options string) {
	t.Helper()
	if err := os.MkdirAll(store, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("store", store, "tmpfs", 0, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(store, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// The program runs on when there is no room, and checkpoints are taken again
// when there is.
func TestAFullStore(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	b := behave(rt, "hold", "8").Recover("interval", "300ms").Recover("max-overhead", "100%")
	store := onDisk(rt, b)
	mountStore(t, store, "size=1m")
	c := rt.Start(b)
	c.Says("ready", 1)
	harness.Until(t, 20*time.Second, "the refusal", func() (bool, string) {
		r := rt.Try("checkpoint", "--into-store", c.ID)
		return r.Code == 1 && strings.Contains(r.Stderr, "no room"), r.String()
	})
	if s := c.State().Status; s != "running" {
		t.Errorf("status %s", s)
	}
	if err := unix.Mount("store", store, "tmpfs", unix.MS_REMOUNT, "size=256m"); err != nil {
		t.Fatal(err)
	}
	c.HasCheckpoints(2)
	rt.Do("fail", c.ID)
	c.Says("told level 1", 1)
	rt.Do("kill", c.ID, "TERM")
	c.Exits(0)
}

func TestAReadOnlyStore(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	b := rt.Shell("while :; do echo tick; sleep 0.1; done").Recover("interval", "200ms")
	store := onDisk(rt, b)
	mountStore(t, store, "size=256m")
	remount := func(flags uintptr) {
		if err := unix.Mount("store", store, "tmpfs", unix.MS_REMOUNT|flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	remount(unix.MS_RDONLY)
	c := rt.Start(b)
	harness.Until(t, 20*time.Second, "the refusal", func() (bool, string) {
		r := rt.Try("checkpoint", "--into-store", c.ID)
		return r.Code == 1 && strings.Contains(r.Stderr, "read-only"), r.String()
	})
	c.Says("tick", 3)
	remount(0)
	c.HasCheckpoints(2)
	rt.Do("fail", c.ID)
	c.Says("tick", strings.Count(c.Output(), "tick")+3)
	rt.Do("kill", c.ID, "KILL")
	c.Exits(137)
}

func TestCheckpointsCommands(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	c := rt.Start(behave(rt, "serve").Recover("retain", "4"))
	c.Says("ready", 1)
	for range 8 {
		rt.Do("checkpoint", "--into-store", c.ID)
	}
	harness.Until(t, 10*time.Second, "4 checkpoints kept", func() (bool, string) {
		l := c.Checkpoints()
		return len(l) == 4, fmt.Sprintf("%+v", l)
	})
	l := c.Checkpoints()
	for _, cp := range l {
		if cp.Trigger == "" || len(cp.Reasons) == 0 || cp.Error != "" {
			t.Errorf("checkpoint %+v", cp)
		}
		rt.Do("checkpoints", "verify", c.ID, fmt.Sprint(cp.Seq))
	}
	m := harness.JSON[harness.Checkpoint](rt, "checkpoints", "inspect", "--format", "json", c.ID, fmt.Sprint(l[0].Seq))
	if m.Seq != l[0].Seq {
		t.Errorf("inspect: %+v", m)
	}
	rt.Do("checkpoints", "remove", c.ID, fmt.Sprint(l[0].Seq))
	if got := c.Checkpoints(); len(got) != 3 {
		t.Errorf("after the removal: %+v", got)
	}
	rt.Refused(1, "no such checkpoint", "checkpoints", "remove", c.ID, fmt.Sprint(l[0].Seq))
	rt.Refused(1, "no such checkpoint", "checkpoints", "verify", c.ID, "9999")
	rt.Refused(1, "", "checkpoints", "verify", c.ID, "x")
	rt.Do("kill", c.ID, "TERM")
	c.Exits(0)
}

// An ordinary image: the container can be made again from it.
func TestCheckpointAndRestoreAnImage(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	b := rt.Shell(`n=0; while :; do n=$((n+1)); echo "line $n"; sleep 0.05; done`).Recover("interval", "24h")
	c := rt.Start(b)
	c.Says("line", 5)
	image := filepath.Join(rt.Dir, "image")
	rt.Do("checkpoint", "--image-path", image, c.ID)
	lines := strings.Count(c.Output(), "line")
	rt.Refused(1, "container does not exist", "state", c.ID)
	id := rt.NewID()
	out, err := os.Create(filepath.Join(rt.Dir, "restored.out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := rt.Command(t.Context(), "restore", "--detach", "--image-path", image, "--bundle", b.Dir, id)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(out.Name())
		t.Fatalf("restore: %v\n%s", err, text)
	}
	next := fmt.Sprintf("line %d\n", lines+2)
	harness.Until(t, 20*time.Second, next, func() (bool, string) {
		text, _ := os.ReadFile(out.Name())
		return strings.Contains(string(text), next) && !strings.Contains(string(text), "line 1\n"), string(text)
	})
	rt.Do("delete", "--force", id)
}
