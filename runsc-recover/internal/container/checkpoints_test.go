package container

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/config"
	"runsc-recover/oci/errdefs"
	"runsc-recover/oci/statedir"
	"runsc-recover/runsc-recover/internal/api"
	"runsc-recover/test/expect"
)

var onDisk = config.Config{Durability: config.DurabilityDisk, Enabled: true}

// keeping is a supervisor that has one checkpoint.
type keeping struct {
	api.Service // nil: a method that no test expects
}

func (keeping) Checkpoints(context.Context) ([]api.CheckpointEntry, error) {
	return []api.CheckpointEntry{{Manifest: checkpoint.Manifest{Seq: 42}}}, nil
}

func seqs(t *testing.T, c *Container) []checkpoint.Seq {
	t.Helper()
	all, err := c.Checkpoints(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []checkpoint.Seq
	for _, e := range all {
		out = append(out, e.Seq)
	}
	return out
}

func expectSeqs(t *testing.T, c *Container, want ...checkpoint.Seq) {
	t.Helper()
	if got := seqs(t, c); !slices.Equal(got, want) {
		t.Errorf("checkpoints %v, want %v", got, want)
	}
}

func TestCheckpointsOfStoppedContainer(t *testing.T) {
	w := newWorld(t, statedir.StatusStopped, onDisk, nil)
	w.publish(t, onDisk, 3, 5, 9)
	c := w.open(t)
	expectSeqs(t, c, 3, 5, 9)
	expect.Equal(t, "verify", c.VerifyCheckpoint(t.Context(), 5), nil)
	expect.Equal(t, "remove", c.RemoveCheckpoint(t.Context(), 5), nil)
	expectSeqs(t, c, 3, 9)
	expect.Equal(t, "verify what is gone", errdefs.CodeOf(c.VerifyCheckpoint(t.Context(), 5)), errdefs.CodeCheckpointMissing)
}

// TestCheckpointsOfLiveContainer has a supervisor and a store that differ: the
// supervisor is asked.
func TestCheckpointsOfLiveContainer(t *testing.T) {
	w := newWorld(t, statedir.StatusRunning, onDisk, keeping{})
	w.publish(t, onDisk, 3)
	expectSeqs(t, w.open(t), 42)
}

// TestCheckpointsOfDyingContainer has no supervisor any more when it is asked.
func TestCheckpointsOfDyingContainer(t *testing.T) {
	w := newWorld(t, statedir.StatusRunning, onDisk, nil)
	w.publish(t, onDisk, 3)
	expectSeqs(t, w.open(t), 3)
}

func TestNoCheckpoints(t *testing.T) {
	for name, c := range map[string]struct {
		config config.Config
		code   errdefs.Code
	}{
		"kept in memory": {config.Config{Durability: config.DurabilityMemory}, errdefs.CodeNotRunning},
		"no store":       {onDisk, errdefs.CodeCheckpointMissing},
	} {
		ct := newWorld(t, statedir.StatusStopped, c.config, nil).open(t)
		if _, err := ct.Checkpoints(t.Context()); errdefs.CodeOf(err) != c.code {
			t.Errorf("%s: %v, code %s", name, err, errdefs.CodeOf(err))
		}
	}
}

// TestCheckpointsOfDeletedContainer deletes the container after it was opened:
// its store must not be opened, which would make it anew.
func TestCheckpointsOfDeletedContainer(t *testing.T) {
	w := newWorld(t, statedir.StatusStopped, onDisk, nil)
	w.publish(t, onDisk, 3)
	c := w.open(t)
	if err := os.RemoveAll(string(w.dir)); err != nil {
		t.Fatal(err)
	}
	_, err := c.Checkpoints(t.Context())
	expect.Equal(t, "error", errors.Is(err, errdefs.ErrNotExist), true)
	_, err = os.Stat(string(w.dir))
	expect.Equal(t, "directory", errors.Is(err, os.ErrNotExist), true)
}
