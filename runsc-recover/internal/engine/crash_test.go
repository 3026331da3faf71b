package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/store"
	"runsc-recover/oci/statedir"
	"runsc-recover/runsc-recover/internal/cleanup"
	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/sentry/failure"
	"runsc-recover/test/expect"
)

// crashes keeps the files that the supervisor's death would leave on disk at each
// of its steps: a copy of the container's directory. The states between the steps
// of a store are the matter of that package's tests.
type crashes struct {
	t    *testing.T
	dir  statedir.Dir // of the container that lives
	kept string       // the copies are here

	mu    sync.Mutex // held during each step
	steps []string
}

// step runs f, and keeps the files on disk before and after it.
func (c *crashes) step(name string, f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keep("before " + name)
	f()
	c.keep("after " + name)
}

func (c *crashes) keep(name string) {
	to := filepath.Join(c.kept, fmt.Sprint(len(c.steps)))
	err := os.CopyFS(to, os.DirFS(string(c.dir)))
	for errors.Is(err, os.ErrNotExist) { // a file got its final name meanwhile
		err = errors.Join(os.RemoveAll(to), os.CopyFS(to, os.DirFS(string(c.dir))))
	}
	if err != nil {
		c.t.Error(err)
	}
	c.steps = append(c.steps, name)
}

func (c *crashes) open(dir statedir.Dir) checkpoint.Store {
	s, err := store.OpenDisk(dir.StoreDir(), store.Options{GVisorVersion: "g", Arch: "a", ContainerID: "c"})
	if err != nil {
		c.t.Fatal(err)
	}
	return s
}

// use makes an engine work on the directory, with its steps taken down.
func (c *crashes) use(o *Options) {
	o.Store.Close()
	o.Store, o.EpisodesFile = crashingStore{c.open(c.dir), c}, c.dir.EpisodesFile()
	o.Config.Retain, o.Config.Durability = 3, "disk"
	boot, saved := o.Boot, o.Saved
	o.Boot = func(ctx context.Context, opts sandbox.BootOptions) (g sandbox.Sandbox, err error) {
		c.step(fmt.Sprint("boot ", opts.Generation), func() { g, err = boot(ctx, opts) })
		return g, err
	}
	o.Saved = func(s Snapshot) { c.step("save", func() { saved(s) }) }
}

// crashingStore takes its steps down.
type crashingStore struct {
	checkpoint.Store
	c *crashes
}

func (s crashingStore) Stage(ctx context.Context, parent checkpoint.Seq) (st checkpoint.Staging, err error) {
	s.c.step("stage", func() { st, err = s.Store.Stage(ctx, parent) })
	return crashingStaging{st, s.c}, err
}

func (s crashingStore) Remove(ctx context.Context, seq checkpoint.Seq) (err error) {
	s.c.step(fmt.Sprint("remove ", seq), func() { err = s.Store.Remove(ctx, seq) })
	return err
}

func (s crashingStore) Open(ctx context.Context, seq checkpoint.Seq) (img checkpoint.Image, err error) {
	s.c.step(fmt.Sprint("open ", seq), func() { img, err = s.Store.Open(ctx, seq) })
	return img, err
}

type crashingStaging struct {
	checkpoint.Staging
	c *crashes
}

func (s crashingStaging) Publish(ctx context.Context, m checkpoint.Manifest) (done checkpoint.Manifest, err error) {
	s.c.step(fmt.Sprint("publish ", m.Seq), func() { done, err = s.Staging.Publish(ctx, m) })
	return done, err
}

func (s crashingStaging) Discard() (err error) {
	s.c.step("discard", func() { err = s.Staging.Discard() })
	return err
}

// TestTheSupervisorDiesAtEveryStep: whatever step of a checkpoint or a recovery
// it dies at, the store opens, all that is in it is sound, the container can be
// brought back from it, and its removal leaves nothing.
func TestTheSupervisorDiesAtEveryStep(t *testing.T) {
	c := &crashes{t: t, dir: statedir.Dir(t.TempDir()), kept: t.TempDir()}
	synctest.Test(t, func(t *testing.T) {
		w := started(t, c.use)
		w.run(4 * time.Second)
		w.gen(1).fail(boom())
		w.run(time.Second)
		w.gen(2).fail(boom()) // the next attempt goes further back
		w.run(5 * time.Second)
		if _, err := w.engine.Checkpoint(t.Context()); err != nil {
			t.Error(err)
		}
		w.end()
	})
	if len(c.steps) < 60 {
		t.Errorf("there were only %d steps: %q", len(c.steps), c.steps)
	}
	back := 0
	for i, step := range c.steps {
		t.Run(fmt.Sprint(i, " ", step), func(t *testing.T) {
			dir := statedir.Dir(filepath.Join(c.kept, fmt.Sprint(i)))
			if sound(t, c, dir) > 0 {
				back++
				synctest.Test(t, func(t *testing.T) { comesBack(t, c, dir) })
			}
			if err := cleanup.Cleanup(dir, nil); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(string(dir)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the directory is left: %v", err)
			}
		})
	}
	if back < len(c.steps)/2 {
		t.Errorf("of %d deaths only %d could be come back from", len(c.steps), back)
	}
}

// sound checks all checkpoints that are left and returns how many.
func sound(t *testing.T, c *crashes, dir statedir.Dir) int {
	t.Helper()
	s := c.open(dir)
	defer s.Close()
	good, bad, err := s.List(t.Context())
	if err != nil || len(bad) > 0 {
		t.Errorf("bad are %v: %v", bad, err)
	}
	for _, m := range good {
		if err := s.Verify(t.Context(), m.Seq); err != nil {
			t.Error(err)
		}
	}
	return len(good)
}

func comesBack(t *testing.T, c *crashes, dir statedir.Dir) {
	w := started(t, func(o *Options) {
		o.Store.Close()
		o.Store, o.EpisodesFile, o.Resume = c.open(dir), dir.EpisodesFile(), &Resume{}
	})
	defer w.end()
	expect.Equal(t, "generation", w.state().Generation, 2)
	expect.Equal(t, "told", w.gen(2).told[0].Info.Failure.Kind, failure.Signal)
	before := w.state().LastCheckpoint
	w.run(10 * time.Second)
	episodes := w.episodes()
	if n := len(episodes); n == 0 || episodes[n-1].Outcome != "recovered" {
		t.Errorf("records: %+v", episodes)
	}
	expect.Equal(t, "checkpoints go on", w.state().LastCheckpoint > before, true)
}
