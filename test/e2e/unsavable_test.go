package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"runsc-recover/test/harness"
)

// A program holds a file on a bind mount open that somebody else has replaced:
// gVisor can't save it. The checkpoint fails with the file's name, the program
// runs on, and once it lets go of the file there are checkpoints again.
func TestAFileThatCannotBeSaved(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	b := rt.Shell(`exec 3</data/held; echo ready
while :; do
	cat /data/held >/dev/null
	if [ -e /data/close ]; then exec 3<&-; fi
	echo tick; sleep 0.1
done`).Recover("interval", "200ms").Recover("max-overhead", "100%").Recover("grace", "100ms")
	data := filepath.Join(rt.Dir, "data")
	write := func(name string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(data, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(data, 0o755); err != nil {
		t.Fatal(err)
	}
	write("held")
	b.Mount(data, "/data")
	c := rt.Start(b)
	c.Says("ready", 1)
	c.HasCheckpoints(1)
	write("other")
	if err := os.Rename(filepath.Join(data, "other"), filepath.Join(data, "held")); err != nil {
		t.Fatal(err)
	}
	harness.Until(t, 20*time.Second, "the refusal", func() (bool, string) {
		r := rt.Try("checkpoint", "--into-store", c.ID)
		return r.Code == 1 && strings.Contains(r.Stderr, "held") && strings.Contains(r.Stderr, "code=unsavable"), r.String()
	})
	if r := rt.Try("checkpoints", "list", c.ID); !strings.Contains(r.Stderr, "held") {
		t.Errorf("the list doesn't name the obstacle: %v", r)
	}
	if s := rt.Do("state", c.ID); !strings.Contains(s, "checkpointError") {
		t.Errorf("the state doesn't name the obstacle: %s", s)
	}
	last := newest(c)
	c.Says("tick", strings.Count(c.Output(), "tick")+5)
	if now := newest(c); now != last {
		t.Errorf("checkpoint %d is newer than %d", now, last)
	}
	write("close")
	harness.Until(t, 30*time.Second, "a checkpoint", func() (bool, string) { return newest(c) > last, c.Log() })
	rt.Do("fail", c.ID)
	c.Says("tick", strings.Count(c.Output(), "tick")+5)
	rt.Do("kill", c.ID, "KILL")
	c.Exits(137)
}
