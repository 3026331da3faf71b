package runsc

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/checkpoint/config"
	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/sentry/platform"
	"runsc-recover/sentry/wire"
	"runsc-recover/test/expect"
)

// A sandbox of this driver holds one container, with a name that requests can
// carry. Others are refused before anything is made.
func TestContainersAreRefused(t *testing.T) {
	one := func(names ...string) (cs []sandbox.ContainerOptions) {
		for _, name := range names {
			cs = append(cs, sandbox.ContainerOptions{Name: name, Spec: &specs.Spec{}})
		}
		return cs
	}
	root := filepath.Join(t.TempDir(), "root")
	for name, cs := range map[string][]sandbox.ContainerOptions{
		"none":              nil,
		"two":               one("web", "db"),
		"without a name":    one(""),
		"a name too long":   one(strings.Repeat("x", wire.MaxContainer+1)),
		"a name with a NUL": one("web\x00"),
		"a name with a gap": one("web 2"),
		"not ASCII":         one("wéb"),
	} {
		_, err := (&Booter{}).Boot(t.Context(), sandbox.BootOptions{Root: root, Containers: cs})
		expect.Equal(t, name, errors.Is(err, sandbox.ErrContainers), true)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := (&Booter{}).Boot(ctx, sandbox.BootOptions{Root: root, Containers: one("web")})
	expect.Equal(t, "too late", errors.Is(err, context.Canceled), true)
	if _, err := os.Stat(root); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the sandbox's directory: %v", err)
	}
	if _, err := onlyContainer(one("web-1_a.b+c")); err != nil {
		t.Error(err)
	}
}

// gVisor changes its spec, and not the caller's.
func TestWriteBundle(t *testing.T) {
	root := t.TempDir()
	spec := &specs.Spec{Version: "1.2.0", Process: &specs.Process{Args: []string{"web"}}}
	copied, dir, err := writeBundle(root, spec)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(copied, spec) || copied.Process == spec.Process {
		t.Errorf("copy %+v", copied)
	}
	text, err := os.ReadFile(filepath.Join(dir, "config.json"))
	expect.Equal(t, "error", err, nil)
	expect.Equal(t, "written", strings.Contains(string(text), `"args":["web"]`), true)
	if _, _, err := writeBundle(filepath.Join(root, "bundle", "config.json"), spec); err == nil {
		t.Error("a bundle in a file")
	}
}

// gVisor knows every flag that is set, and takes the values.
func TestConfig(t *testing.T) {
	notifies := &specs.Spec{
		Process: &specs.Process{Env: []string{"NOTIFY_SOCKET=/run/notify/s"}},
		Mounts:  []specs.Mount{{Destination: "/run/notify", Type: "bind"}},
	}
	for _, network := range config.Networks() {
		c, err := NewConfig(sandbox.BootOptions{
			Root: "/root", NetworkStack: network, LogDir: "/log", Rootless: true, Config: config.Config{Tracking: config.TrackingContents},
			Containers: []sandbox.ContainerOptions{{Spec: notifies}},
		}, "/agent.json")
		if err != nil {
			t.Fatal(err)
		}
		name := string(network)
		expect.Equal(t, name+": root", c.RootDir, "/root")
		expect.Equal(t, name+": raw sockets", c.EnableRaw, network != config.NetworkHost)
		expect.Equal(t, name+": sockets of the host", c.GetHostUDS().AllowOpen(), true)
		expect.Equal(t, name+": platform", c.Platform, platform.NameUnwatched)
		expect.Equal(t, name+": log", c.DebugLog, "/log/gvisor.%COMMAND%.log")
	}
	c, err := NewConfig(sandbox.BootOptions{NetworkStack: config.NetworkSandbox, Containers: []sandbox.ContainerOptions{{Spec: &specs.Spec{}}}}, "")
	if err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "sockets of the host", c.GetHostUDS().AllowOpen(), false)
	expect.Equal(t, "platform", c.Platform, platform.Name)
	expect.Equal(t, "log", c.Debug, false)
	if _, err := NewConfig(sandbox.BootOptions{NetworkStack: "bridge"}, ""); err == nil {
		t.Error("an unknown network")
	}
}
