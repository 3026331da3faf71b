package runsc

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"gvisor.dev/gvisor/pkg/cleanup"
	"gvisor.dev/gvisor/pkg/sentry/seccheck"
	"gvisor.dev/gvisor/runsc/boot"
	"gvisor.dev/gvisor/runsc/config"
	"gvisor.dev/gvisor/runsc/container"
	"gvisor.dev/gvisor/runsc/specutils"

	policy "runsc-recover/checkpoint/config"
	"runsc-recover/oci"
	"runsc-recover/oci/errdefs"
	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/runsc-recover/internal/sandbox/dockerdns"
	"runsc-recover/runsc-recover/internal/sandbox/rxqueue"
	"runsc-recover/sentry/agent"
	"runsc-recover/sentry/wire"
)

// Booter boots gVisor sandboxes, all for one lineage. It implements
// sandbox.Booter. The zero value is ready for use.
type Booter struct {
	// dead has the queues of the sandbox that died last.
	dead rxqueue.Keeper
}

// Boot implements sandbox.Booter.
func (b *Booter) Boot(ctx context.Context, opts sandbox.BootOptions) (sandbox.Sandbox, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	only, err := onlyContainer(opts.Containers)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(opts.Root, 0o700); err != nil {
		return nil, fmt.Errorf("make the sandbox's directory: %w", err)
	}
	cu := cleanup.Make(func() { removeRoot(opts.Root) })
	defer cu.Clean()

	spec, bundle, err := writeBundle(opts.Root, only.Spec)
	if err != nil {
		return nil, err
	}
	around, err := newFence(opts)
	if err != nil {
		return nil, err
	}
	cu.Add(func() { _ = around.Remove() })
	ch, agentEnd, err := newChannel()
	if err != nil {
		return nil, err
	}
	cu.Add(ch.close)
	defer agentEnd.Close()
	conf, err := configure(opts, spec, agentEnd)
	if err != nil {
		return nil, err
	}
	// gVisor checks again in the sandbox, whose errors nobody reads.
	if err := specutils.ValidateSpec(spec, conf); err != nil {
		return nil, errdefs.Errorf(errdefs.CodeUnsupported, "gVisor can't run what %s asks for: %w", oci.ConfigFile, err)
	}
	c, err := container.New(conf, container.Args{
		ID:        opts.ID,
		Spec:      spec,
		BundleDir: bundle,
		Attached:  true,
		PassFiles: only.PassFiles,
	})
	if err != nil {
		return nil, fmt.Errorf("create sandbox: %w", err)
	}
	cu.Release()
	s := newInstance(opts, conf, c, ch, around)
	s.dead = &b.dead
	go s.listen()
	go s.await()
	go s.watchGofer()
	return s, nil
}

// onlyContainer returns the one container that a sandbox of this driver holds.
// Errors: sandbox.ErrContainers.
func onlyContainer(cs []sandbox.ContainerOptions) (sandbox.ContainerOptions, error) {
	if len(cs) != 1 {
		return sandbox.ContainerOptions{}, fmt.Errorf("%w: %d of them, and it holds one", sandbox.ErrContainers, len(cs))
	}
	if err := wire.ValidateContainer(cs[0].Name); err != nil {
		return sandbox.ContainerOptions{}, fmt.Errorf("%w: %w", sandbox.ErrContainers, err)
	}
	return cs[0], nil
}

// writeBundle writes a spec as gVisor expects it, into a bundle below the
// sandbox's root directory. It returns a copy of the spec, which gVisor will
// change.
func writeBundle(root string, spec *specs.Spec) (forGVisor *specs.Spec, dir string, err error) {
	text, err := json.Marshal(spec)
	if err != nil {
		return nil, "", fmt.Errorf("encode the sandbox's spec: %w", err)
	}
	if err := json.Unmarshal(text, &forGVisor); err != nil {
		return nil, "", fmt.Errorf("copy the sandbox's spec: %w", err)
	}
	dir = filepath.Join(root, "bundle")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, "", fmt.Errorf("make the sandbox's bundle: %w", err)
	}
	return forGVisor, dir, writeFile(filepath.Join(dir, oci.ConfigFile), text)
}

// configure writes the agent's options and returns gVisor's configuration.
func configure(opts sandbox.BootOptions, spec *specs.Spec, agentEnd *os.File) (*config.Config, error) {
	c := opts.Config
	sink, err := sinkConfig(agent.Options{
		FD:        int(agentEnd.Fd()),
		Enabled:   c.Enabled,
		Report:    c.Enabled && c.On.Report,
		Signal:    c.Enabled && c.On.Signal,
		Exit:      c.Enabled && c.On.Exit,
		Interrupt: c.Signal,
		Network:   string(opts.NetworkStack),
		Container: opts.Containers[0].Name,
		Resolver:  opts.NetworkStack == policy.NetworkSandbox && dockerdns.UsedBy(spec),
	})
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(boot.InitConfig{TraceSession: seccheck.SessionConfig{
		Name:  seccheck.DefaultSessionName,
		Sinks: []seccheck.SinkConfig{{Name: agent.SinkName, Config: sink}},
	}})
	if err != nil {
		return nil, fmt.Errorf("encode the agent's configuration: %w", err)
	}
	path := filepath.Join(opts.Root, "agent.json")
	if err := writeFile(path, text); err != nil {
		return nil, err
	}
	return NewConfig(opts, path)
}

// sinkConfig puts the options into the shape of gVisor's configuration.
func sinkConfig(o agent.Options) (map[string]any, error) {
	text, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("encode the agent's options: %w", err)
	}
	var m map[string]any
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("encode the agent's options: %w", err)
	}
	return m, nil
}
