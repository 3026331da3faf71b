package e2e

import (
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"runsc-recover/test/harness"
)

// taken is the room that a directory's files take.
func taken(t *testing.T, dir string) int64 {
	t.Helper()
	bytes := int64(0)
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		var stat unix.Stat_t
		if err == nil && unix.Lstat(path, &stat) == nil {
			bytes += stat.Blocks * 512
		}
		return nil // a checkpoint may be removed meanwhile
	})
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

// The oldest checkpoints go when the store reaches its limit, and the others can be
// gone back to.
func TestTheStoreKeepsItsLimit(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	b := behave(rt, "hold", "8").Recover("retain", "1000").Recover("store-limit", "9MiB").Recover("grace", "100ms")
	store := onDisk(rt, b)
	c := rt.Start(b)
	c.Says("ready", 1)
	const rounds = 30
	for range rounds {
		rt.Do("checkpoint", "--into-store", c.ID)
	}
	if n := len(c.Checkpoints()); n >= rounds || n < 4 {
		t.Errorf("%d checkpoints are kept", n)
	}
	// The directories' own blocks aren't the store's, nor a removal under way.
	if n := taken(t, store); n > 10<<20 {
		t.Errorf("the store takes %d KiB", n>>10)
	}
	rt.Do("fail", c.ID)
	c.Says("told level 1 kind 7", 1)
	rt.Do("kill", c.ID, "TERM")
	c.Exits(0)
}

// A checkpoint that is larger than the limit by itself is refused, and the
// program runs on.
func TestACheckpointBeyondTheLimit(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	for _, durability := range []string{"memory", "disk"} {
		b := behave(rt, "hold", "8").Recover("durability", durability).Recover("store-limit", "4MiB")
		c := rt.Start(b)
		c.Says("ready", 1)
		rt.Refused(1, "code=store-limit", "checkpoint", "--into-store", c.ID)
		for _, cp := range c.Checkpoints() { // there may be one of its beginning
			if cp.Pages.Bytes > 4<<20 {
				t.Errorf("%s: there is a checkpoint of %d bytes", durability, cp.Pages.Bytes)
			}
		}
		if s := rt.Try("state", c.ID); !strings.Contains(s.Stdout, "running") {
			t.Errorf("%s: %v", durability, s)
		}
		rt.Do("kill", c.ID, "TERM")
		c.Exits(0)
	}
}
