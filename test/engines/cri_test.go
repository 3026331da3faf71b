package engines

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"runsc-recover/test/harness"
)

// cri is containerd as a kubelet drives it.
type cri struct {
	world  *world
	client runtimeapi.RuntimeServiceClient
	ctx    context.Context
	pods   int
}

// newCRI starts a containerd whose configuration install has added to. The host
// of the tests may lack the privilege to protect pods from the OOM killer.
func newCRI(t *testing.T) *cri {
	t.Helper()
	harness.NeedProgram(t, "containerd")
	harness.NeedProgram(t, "/usr/lib/cni/bridge")
	w := newWorld(t)
	socket := filepath.Join(w.dir, "s")
	file := filepath.Join(w.dir, "etc", "containerd", "config.toml")
	writeFile(t, file, fmt.Sprintf(`version = 2
root = %q
state = %q
[grpc]
address = %q
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = %q
stream_server_port = "0"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = %q
`, filepath.Join(w.dir, "data"), filepath.Join(w.dir, "x"), socket, imageName, filepath.Join(w.dir, "cni")))
	writeFile(t, filepath.Join(w.dir, "cni", "bridge.conflist"), `{"cniVersion": "0.4.0", "name": "pods", "plugins": [
		{"type": "bridge", "bridge": "pods", "isGateway": true, "ipMasq": false,
		 "ipam": {"type": "host-local", "subnet": "10.97.0.0/24", "routes": [{"dst": "0.0.0.0/0"}]}}]}`)
	w.install(t, "containerd", "--name", "rr")
	ctr := []string{"ctr", "-a", socket, "-n", "k8s.io"}
	startDaemon(t, w, append(ctr, "version"), "containerd", "-c", file)
	buildImage(t, w)
	if r := w.try(t, "", append(ctr, "image", "import", "--snapshotter", "native", archiveImage(t, w))...); r.Code != 0 {
		t.Fatalf("%v", r)
	}
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(cancel)
	return &cri{world: w, client: runtimeapi.NewRuntimeServiceClient(conn), ctx: ctx}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(text), 0o644))
}

// runtime runs a command of the runtime itself.
func (c *cri) runtime(t *testing.T, args ...string) string {
	t.Helper()
	r := c.world.try(t, "", append([]string{c.world.binary, "--root", "/run/containerd/runc/k8s.io"}, args...)...)
	if r.Code != 0 {
		t.Fatalf("%v", r)
	}
	return r.Stdout
}

// pod is one of Kubernetes, in the runtime's class.
type pod struct {
	c      *cri
	config *runtimeapi.PodSandboxConfig
	id, ip string
}

// pod runs one, which is removed with the test.
func (c *cri) pod(t *testing.T, annotations map[string]string) *pod {
	t.Helper()
	c.pods++
	name := fmt.Sprintf("pod%d", c.pods)
	p := &pod{c: c, config: &runtimeapi.PodSandboxConfig{
		Metadata:     &runtimeapi.PodSandboxMetadata{Name: name, Uid: name, Namespace: "default"},
		LogDirectory: filepath.Join(c.world.dir, name),
		Hostname:     name,
		Annotations:  annotations,
		Linux:        &runtimeapi.LinuxPodSandboxConfig{CgroupParent: "/" + c.world.cgroup},
	}}
	r, err := c.client.RunPodSandbox(c.ctx, &runtimeapi.RunPodSandboxRequest{Config: p.config, RuntimeHandler: "rr"})
	must(t, err)
	p.id = r.PodSandboxId
	t.Cleanup(func() {
		_, err := c.client.StopPodSandbox(c.ctx, &runtimeapi.StopPodSandboxRequest{PodSandboxId: p.id})
		must(t, err)
		_, err = c.client.RemovePodSandbox(c.ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: p.id})
		must(t, err)
	})
	s, err := c.client.PodSandboxStatus(c.ctx, &runtimeapi.PodSandboxStatusRequest{PodSandboxId: p.id})
	must(t, err)
	p.ip = s.Status.Network.GetIp()
	return p
}

// member is a container of a pod.
type member struct {
	p       *pod
	id, log string
}

// create makes one in the pod.
func (p *pod) create(t *testing.T, name string, command ...string) *member {
	t.Helper()
	return p.limited(t, name, 0, command...)
}

// limited is create with a memory limit, 0 for none.
func (p *pod) limited(t *testing.T, name string, memory int64, command ...string) *member {
	t.Helper()
	config := &runtimeapi.ContainerConfig{
		Metadata:    &runtimeapi.ContainerMetadata{Name: name},
		Image:       &runtimeapi.ImageSpec{Image: imageName},
		Command:     command,
		Annotations: p.config.Annotations,
		LogPath:     name + ".log",
		Linux:       &runtimeapi.LinuxContainerConfig{Resources: &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: memory}},
	}
	r, err := p.c.client.CreateContainer(p.c.ctx, &runtimeapi.CreateContainerRequest{PodSandboxId: p.id, Config: config, SandboxConfig: p.config})
	must(t, err)
	return &member{p: p, id: r.ContainerId, log: filepath.Join(p.config.LogDirectory, name+".log")}
}

// start runs it. Errors: the runtime's.
func (m *member) start() error {
	_, err := m.p.c.client.StartContainer(m.p.c.ctx, &runtimeapi.StartContainerRequest{ContainerId: m.id})
	return err
}

// server runs the echo server in the pod.
func (p *pod) server(t *testing.T, name string) *member {
	t.Helper()
	m := p.create(t, name, "/bin/echo-server")
	must(t, m.start())
	m.says(t, "ready", 1)
	return m
}

// printed is the container's output so far, with containerd's marks.
func (m *member) printed() string {
	b, _ := os.ReadFile(m.log) // there is none before it prints
	return string(b)
}

func (m *member) says(t *testing.T, text string, times int) {
	t.Helper()
	harness.Until(t, 30*time.Second, fmt.Sprintf("%q %d times in the log", text, times), func() (bool, string) {
		out := m.printed()
		return strings.Count(out, text) >= times, out
	})
}

// status is containerd's status of the container, with its pid.
func (m *member) status(t *testing.T) (s *runtimeapi.ContainerStatus, pid int) {
	t.Helper()
	r, err := m.p.c.client.ContainerStatus(m.p.c.ctx, &runtimeapi.ContainerStatusRequest{ContainerId: m.id, Verbose: true})
	must(t, err)
	var info struct{ Pid int }
	must(t, json.Unmarshal([]byte(r.Info["info"]), &info))
	return r.Status, info.Pid
}

func (m *member) ends(t *testing.T, code int32) {
	t.Helper()
	harness.Until(t, 30*time.Second, "the end", func() (bool, string) {
		s, _ := m.status(t)
		return s.State == runtimeapi.ContainerState_CONTAINER_EXITED && s.ExitCode == code, s.String()
	})
}

func (m *member) exec(t *testing.T, command ...string) *runtimeapi.ExecSyncResponse {
	t.Helper()
	r, err := m.p.c.client.ExecSync(m.p.c.ctx, &runtimeapi.ExecSyncRequest{ContainerId: m.id, Cmd: command, Timeout: 30})
	must(t, err)
	return r
}

// rollBack has the program fail, and waits until its copy has been told.
func (m *member) rollBack(t *testing.T) {
	t.Helper()
	told := strings.Count(m.printed(), "told 7")
	m.p.c.runtime(t, "checkpoint", "--into-store", m.id)
	m.p.c.runtime(t, "kill", m.id, "USR1")
	m.says(t, "told 7", told+1)
}

// uses exercises a kubelet's calls for a container that runs.
func (m *member) uses(t *testing.T) {
	t.Helper()
	answers(t, m.p.c.world, "tcp4", net.JoinHostPort(m.p.ip, "7000"))
	want(t, string(m.exec(t, "/bin/ps").Stdout), "echo-server")
	if r := m.exec(t, "/bin/sh", "-c", "exit 3"); r.ExitCode != 3 {
		t.Errorf("want status 3, got %v", r)
	}
	_, pid := m.status(t)
	for _, mib := range []int64{300, 200} {
		_, err := m.p.c.client.UpdateContainerResources(m.p.c.ctx, &runtimeapi.UpdateContainerResourcesRequest{
			ContainerId: m.id,
			Linux:       &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: mib << 20, CpuQuota: 150000, CpuPeriod: 100000},
		})
		must(t, err)
		if got := limitOf(t, pid, memoryLimit); got != strconv.FormatInt(mib<<20, 10) {
			t.Errorf("the memory limit is %s, want %d MiB", got, mib)
		}
		want(t, string(m.exec(t, "/bin/grep", "MemTotal", "/proc/meminfo").Stdout), fmt.Sprintf(" %d kB", mib<<10))
	}
	if got := limitOf(t, pid, cpuLimit); got != "150000" {
		t.Errorf("the quota is %s", got)
	}
	s, err := m.p.c.client.ContainerStats(m.p.c.ctx, &runtimeapi.ContainerStatsRequest{ContainerId: m.id})
	must(t, err)
	if s.Stats.GetMemory().GetWorkingSetBytes().GetValue() == 0 {
		t.Errorf("no statistics: %v", s)
	}
}

func TestKubernetes(t *testing.T) {
	t.Parallel()
	c := newCRI(t)
	t.Run("pod", func(t *testing.T) { testPod(t, c) })
	t.Run("one after the other", func(t *testing.T) { testInitContainer(t, c) })
	t.Run("out of memory", func(t *testing.T) {
		p := c.pod(t, map[string]string{"dev.runsc-recover.enabled": "false"})
		m := p.limited(t, "eats", 64<<20, "/bin/echo-server", "eat")
		must(t, m.start())
		m.ends(t, 137)
		if s, _ := m.status(t); s.Reason != "OOMKilled" {
			t.Errorf("want an out-of-memory kill, got %v", s)
		}
	})
	t.Run("beside one with a stack of its own", func(t *testing.T) {
		p := c.pod(t, nil)
		m := p.server(t, "first")
		err := p.create(t, "second", "/bin/true").start()
		if err == nil || !strings.Contains(err.Error(), "dev.runsc-recover.network=host") {
			t.Errorf("want a refusal that names the option, got %v", err)
		}
		m.uses(t)
	})
	t.Run("several", func(t *testing.T) {
		p := c.pod(t, map[string]string{"dev.runsc-recover.network": "host"})
		m, other := p.server(t, "first"), p.create(t, "second", "/bin/sleep", "1000")
		must(t, other.start())
		for range 2 {
			m.uses(t)
			want(t, string(other.exec(t, "/bin/sh", "-c", "echo hello | nc 127.0.0.1 7000").Stdout), "hello")
			m.rollBack(t)
		}
	})
}

// testPod takes a pod of one container through its life.
func testPod(t *testing.T, c *cri) {
	p := c.pod(t, map[string]string{"dev.runsc-recover.interval": "700ms"})
	m := p.server(t, "server")
	want(t, string(m.exec(t, "/bin/hostname").Stdout), "pod1")
	want(t, c.runtime(t, "state", m.id), `"dev.runsc-recover.interval": "700ms"`)
	before, pid := m.status(t)
	for range 2 {
		m.uses(t)
		m.rollBack(t)
	}
	m.uses(t)
	now, pidNow := m.status(t)
	if pidNow != pid || now.StartedAt != before.StartedAt || now.State != before.State {
		t.Errorf("the container was %v with pid %d and is %v with %d", before, pid, now, pidNow)
	}
	_, err := c.client.StopContainer(c.ctx, &runtimeapi.StopContainerRequest{ContainerId: m.id, Timeout: 10})
	must(t, err)
	m.says(t, "bye", 1)
	m.ends(t, 0)
	_, err = c.client.RemoveContainer(c.ctx, &runtimeapi.RemoveContainerRequest{ContainerId: m.id})
	must(t, err)
	if out := c.runtime(t, "list", "--quiet"); strings.Contains(out, m.id) {
		t.Errorf("the runtime still has it: %s", out)
	}
}

// testInitContainer runs containers of a pod one after the other, as those that
// prepare it and those that are restarted: each must find the pod's network.
func testInitContainer(t *testing.T, c *cri) {
	p := c.pod(t, nil)
	prepares := p.create(t, "init", "/bin/ip", "route")
	must(t, prepares.start())
	prepares.ends(t, 0)
	want(t, prepares.printed(), "10.97.0.1")
	crashes := p.server(t, "crashes")
	crashes.uses(t)
	c.runtime(t, "kill", crashes.id, "KILL")
	crashes.ends(t, 137)
	p.server(t, "again").uses(t)
}
