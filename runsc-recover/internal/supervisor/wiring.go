package supervisor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"runtime"

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

// makeEngine makes the engine and boots the first sandbox.
func (s *supervisor) makeEngine(ctx context.Context) error {
	s.thread.Store(osthread.New())
	s.engine = engine.New(s.engineOptions())
	return s.engine.Create(ctx)
}

// engineOptions is all that the engine is made of.
func (s *supervisor) engineOptions() engine.Options {
	o := engine.Options{
		Identity: checkpoint.Manifest{
			GVisorVersion: s.gvisorVersion,
			Arch:          runtime.GOARCH,
			ContainerID:   s.opts.ID,
			SpecDigest:    digestOf(s.spec.Container),
		},
		Config:         s.opts.Config,
		Store:          s.newStore(),
		Boot:           s.boot,
		Template:       s.bootOptions(),
		GenerationID:   func(n int) string { return generationID(s.opts.Dir, n) },
		GenerationRoot: s.opts.Dir.GenerationDir,
		EpisodesFile:   s.opts.Dir.EpisodesFile(),
		Saved:          s.saveState,
		Changed:        func(snap engine.Snapshot) { s.latest.Store(&snap) },
		BeforeStart:    s.beforeStart,
		AfterStart:     s.runPoststartHooks,
		ProcessMemory:  procusage.ResidentMemory,
		ProcessorTime:  procusage.ProcessorTime,
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

// bootOptions is the part of a boot that is the same for every generation.
func (s *supervisor) bootOptions() sandbox.BootOptions {
	return sandbox.BootOptions{
		NetworkStack: s.opts.Network,
		Rootless:     s.opts.Rootless,
		LogDir:       s.gvisorLogs(),
		Containers:   []sandbox.ContainerOptions{{Name: s.opts.ID, Spec: s.spec.Sandbox, PassFiles: s.files}},
	}
}

// gvisorLogs is the directory of gVisor's logs, empty where they aren't asked for.
func (s *supervisor) gvisorLogs() string {
	if !s.opts.Debug {
		return ""
	}
	return string(s.opts.Dir)
}

// newStore returns the store that the configuration asks for.
func (s *supervisor) newStore() checkpoint.Store {
	opts := store.Options{GVisorVersion: s.gvisorVersion, Arch: runtime.GOARCH, ContainerID: s.opts.ID,
		Limit: s.opts.Config.StoreLimit, Compare: s.opts.Config.Verify}
	if s.opts.Config.Durability != config.DurabilityDisk {
		return store.NewMemory(opts)
	}
	dir := statedir.StorePath(s.opts.Dir, s.opts.Config)
	return reopen.New(func() (checkpoint.Store, error) { return store.OpenDisk(dir, opts) })
}

// generationID names a sandbox uniquely on the host, where containers of
// different state directories may have the same id.
func generationID(dir statedir.Dir, n int) string {
	sum := sha256.Sum256([]byte(dir))
	return fmt.Sprintf("rr-%s-%d", hex.EncodeToString(sum[:8]), n)
}

// digestOf identifies the spec that a checkpoint's program ran with.
func digestOf(spec *specs.Spec) string {
	b, err := json.Marshal(spec)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}
