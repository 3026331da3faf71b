package supervisor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"runtime"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/config"
	"runsc-recover/checkpoint/schedule"
	"runsc-recover/checkpoint/store"
	"runsc-recover/checkpoint/store/imagedir"
	"runsc-recover/checkpoint/store/reopen"
	"runsc-recover/oci/statedir"
	"runsc-recover/runsc-recover/internal/engine"
	"runsc-recover/runsc-recover/internal/host/osthread"
	"runsc-recover/runsc-recover/internal/host/procusage"
	"runsc-recover/runsc-recover/internal/sandbox"
)

// bootTime bounds booting a sandbox.
const bootTime = time.Minute

func (s *supervisor) makeEngine(ctx context.Context) error {
	s.thread.Store(osthread.New())
	s.store = s.newStore()
	s.engine = engine.New(s.engineOptions())
	return s.engine.Create(ctx)
}

func (s *supervisor) engineOptions() engine.Options {
	o := engine.Options{
		Identity: checkpoint.Manifest{
			GVisorVersion: s.main.GVisorVersion,
			Arch:          runtime.GOARCH,
			ContainerID:   s.opts.ID,
			SpecDigest:    digestOf(s.spec.Container),
		},
		Config: s.opts.Policy,
		Store:  s.store,
		Boot:   s.boot(s.main.NewBooter(s.opts)),
		Template: sandbox.BootOptions{
			Containers: []sandbox.ContainerOptions{{
				Name:      s.opts.ID,
				Bundle:    s.bundle.Path,
				Spec:      s.spec.Sandbox,
				PassFiles: s.files,
			}},
		},
		GenerationID:   func(n int) string { return generationID(s.opts.Dir, n) },
		GenerationRoot: s.opts.Dir.GenerationDir,
		EpisodesFile:   s.opts.Dir.EpisodesFile(),
		Saved:          s.saveState,
		BeforeStart:    s.beforeStart,
		AfterStart:     s.runPoststartHooks,
		ProcessMemory:  procusage.ResidentMemory,
		ProcessorTime:  procusage.ProcessorTime,
		HostNetwork:    s.opts.Network == config.NetworkHost,
		PutNetworkBack: func() error { return s.before.PutBack() },
		Log:            s.log,
	}
	if s.opts.ImagePath != "" {
		o.Image = func() (checkpoint.Image, error) { return imagedir.Open(s.opts.ImagePath) }
	}
	if s.opts.FromStore {
		o.Resume = &engine.Resume{Seq: s.opts.FromSeq}
	}
	if s.cgroup != nil {
		o.Memory = func() (schedule.Memory, error) {
			use, err := s.cgroup.Memory()
			return schedule.Memory(use), err
		}
		o.OOMKills = s.cgroup.OOMKills
	}
	return o
}

// boot runs the booter on the lasting thread. A boot that hangs keeps that
// thread, and what it may still make is destroyed; the next boot gets another.
func (s *supervisor) boot(b sandbox.Booter) func(context.Context, sandbox.BootOptions) (sandbox.Sandbox, error) {
	type result struct {
		gen sandbox.Sandbox
		err error
	}
	return func(ctx context.Context, o sandbox.BootOptions) (sandbox.Sandbox, error) {
		ctx, cancel := context.WithTimeout(ctx, bootTime)
		defer cancel()
		s.booting.Add(1)
		defer s.booting.Add(-1)
		done := make(chan result, 1)
		thread := s.thread.Load()
		go thread.Do(func() {
			s.shield.Expose(func() {
				gen, err := b.Boot(ctx, o)
				done <- result{gen, err}
			})
		})
		select {
		case r := <-done:
			return r.gen, r.err
		case <-ctx.Done():
		}
		s.thread.CompareAndSwap(thread, osthread.New())
		go func() {
			if r := <-done; r.gen != nil {
				r.gen.Destroy()
			}
		}()
		return nil, ctx.Err()
	}
}

func (s *supervisor) newStore() checkpoint.Store {
	opts := store.Options{GVisorVersion: s.main.GVisorVersion, Arch: runtime.GOARCH, ContainerID: s.opts.ID,
		Limit: s.opts.Policy.StoreLimit, Compare: s.opts.Policy.Verify}
	if s.opts.Policy.Durability != config.DurabilityDisk {
		return store.NewMemory(opts)
	}
	dir := statedir.StorePath(s.opts.Dir, s.opts.Policy)
	return reopen.New(func() (checkpoint.Store, error) { return store.OpenDisk(dir, opts) })
}

// generationID names a sandbox uniquely on the host, where containers of
// different state directories may have the same id.
func generationID(dir statedir.Dir, n int) string {
	sum := sha256.Sum256([]byte(dir))
	return fmt.Sprintf("rr-%s-%d", hex.EncodeToString(sum[:8]), n)
}

func digestOf(spec *specs.Spec) string {
	b, err := json.Marshal(spec)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func (s *supervisor) saveState(snap engine.Snapshot) {
	s.latest.Store(&snap)
	state := s.base
	state.Status, state.Generations, state.Exit = snap.Status, snap.Generations, snap.Exit
	state.Standby, state.CheckpointError = snap.Standby, snap.CheckpointError
	if err := state.Save(s.opts.Dir); err != nil {
		s.log.Error("save state", "error", err)
	}
}
