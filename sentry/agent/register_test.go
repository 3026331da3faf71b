package agent

import (
	"bytes"
	"runtime/debug"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"gvisor.dev/gvisor/pkg/abi/linux"
	"gvisor.dev/gvisor/pkg/fd"
	gplatform "gvisor.dev/gvisor/pkg/sentry/platform"
	"gvisor.dev/gvisor/pkg/sentry/seccheck"
	slinux "gvisor.dev/gvisor/pkg/sentry/syscalls/linux"
	"gvisor.dev/gvisor/pkg/sentry/usage"
	"gvisor.dev/gvisor/pkg/state"

	"runsc-recover/sentry/abi"
	"runsc-recover/sentry/kerneltest"
	"runsc-recover/sentry/platform"
	"runsc-recover/sentry/wire"
	"runsc-recover/test/expect"
)

// registered is there because gVisor's registries take a name once in a process.
var registered sync.Once

// TestRegister looks at gVisor's registries, and lets a checkpoint find the
// registered agent.
func TestRegister(t *testing.T) {
	registered.Do(Register)
	for _, name := range []string{platform.Name, platform.NameUnwatched} {
		if _, err := gplatform.Lookup(name); err != nil {
			t.Errorf("platform %s: %v", name, err)
		}
	}
	if _, ok := seccheck.Sinks[SinkName]; !ok {
		t.Errorf("there is no sink %s", SinkName)
	}
	sc := slinux.AMD64.Table[abi.Sysno]
	expect.Equal(t, "name of the recovery call", sc.Name, abi.SyscallName)

	saved := loadedAgent.Load()
	saved.setKernel(kerneltest.New(t, nil))
	saved.attached[3] = attachment{Signo: 12}
	var b bytes.Buffer
	if _, err := state.Save(saved.k.SupervisorContext(), &b, &savedState{}); err != nil {
		t.Fatal(err)
	}
	copied := newAgent()
	loadedAgent.Store(copied)
	k := kerneltest.New(t, nil)
	if _, err := state.Load(k.SupervisorContext(), &b, &savedState{}); err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "the copy's kernel", copied.kernel() == k, true)
	expect.Equal(t, "the copy's attachment", copied.attached[3], attachment{Signo: 12})
}

// TestSink hands the channel over as gVisor does.
func TestSink(t *testing.T) {
	percent := debug.SetGCPercent(100)
	defer debug.SetGCPercent(percent) // the sink makes collections rare
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	f, err := setupSink(map[string]any{"fd": fds[1]})
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fds[1])
	a := newAgent()
	endpoint, err := fd.NewFromFile(f)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	s, err := a.newSink(map[string]any{"container": "web"}, endpoint)
	if err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "name", s.Name(), SinkName)
	expect.Equal(t, "options", a.opts, Options{Container: "web"})
	reply := sandbox{a, t}.ask(fds[0], wire.Request{Verb: wire.VerbRefuse})
	expect.Equal(t, "reply", codeOf(reply), wire.CodeState)
}

func TestSinkRefuses(t *testing.T) {
	bad := map[string]any{"fd": "nine"}
	if _, err := setupSink(bad); err == nil {
		t.Error("setup with a descriptor that is none")
	}
	if _, err := setupSink(map[string]any{"fd": 1 << 20}); err == nil {
		t.Error("setup with a descriptor that isn't open")
	}
	a := newAgent()
	if _, err := a.newSink(bad, nil); err == nil {
		t.Error("a sink with options that can't be decoded")
	}
	if _, err := a.newSink(nil, nil); err == nil {
		t.Error("a sink without a channel")
	}
}

// TestForegroundWithoutTerminal: the first process is signalled.
func TestForegroundWithoutTerminal(t *testing.T) {
	s := newSandbox(t)
	first := s.task(kerneltest.Task{Name: "first"})
	handle(t, first, linux.SIGINT, handler)
	reply := s.ask(s.serve(), wire.Request{Verb: wire.VerbForeground, Container: "web", Signo: int32(linux.SIGINT)})
	expect.Equal(t, "reply", codeOf(reply), wire.Code(""))
	info := kerneltest.Pending(first)
	if info == nil || linux.Signal(info.Signo) != linux.SIGINT || info.Code != linux.SI_KERNEL {
		t.Errorf("pending: %+v", info)
	}
}

func TestMemoryRequest(t *testing.T) {
	low, high := usage.MinimumTotalMemoryBytes, usage.MaximumTotalMemoryBytes
	defer func() { usage.MinimumTotalMemoryBytes, usage.MaximumTotalMemoryBytes = low, high }()
	if err := setMemory(123 << 20); err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "size", usage.TotalMemory(0, 0), uint64(123<<20))
}
