// Package kerneltest makes kernels for tests: real ones of gVisor's, with tasks
// that have memory, signals and ids, on a platform that runs no instruction.
//
// It must not know the packages that are tested.
//
// No locks. A kernel has gVisor's own goroutines, for its clocks and for each
// task on which Do was called. When the test ends they stand still.
package kerneltest

import (
	"sync"
	"testing"

	"gvisor.dev/gvisor/pkg/abi/linux"
	"gvisor.dev/gvisor/pkg/context"
	"gvisor.dev/gvisor/pkg/cpuid"
	"gvisor.dev/gvisor/pkg/hostarch"
	"gvisor.dev/gvisor/pkg/sentry/arch"
	"gvisor.dev/gvisor/pkg/sentry/fsimpl/cgroup2fs"
	"gvisor.dev/gvisor/pkg/sentry/inet"
	"gvisor.dev/gvisor/pkg/sentry/kernel"
	"gvisor.dev/gvisor/pkg/sentry/kernel/auth"
	"gvisor.dev/gvisor/pkg/sentry/kernel/sched"
	"gvisor.dev/gvisor/pkg/sentry/limits"
	"gvisor.dev/gvisor/pkg/sentry/loader"
	"gvisor.dev/gvisor/pkg/sentry/memmap"
	"gvisor.dev/gvisor/pkg/sentry/mm"
	"gvisor.dev/gvisor/pkg/sentry/pgalloc"
	"gvisor.dev/gvisor/pkg/sentry/platform"
	"gvisor.dev/gvisor/pkg/sentry/socket/netstack"
	sentrytime "gvisor.dev/gvisor/pkg/sentry/time"
	"gvisor.dev/gvisor/pkg/sentry/usage"
	"gvisor.dev/gvisor/pkg/sentry/vfs"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"runsc-recover/checkpoint/memfile"
)

// idle is a platform that runs no instruction.
type idle struct {
	platform.Platform

	mu sync.Mutex
	// contexts is guarded by mu.
	contexts map[*kernel.Task]idleContext
}

func (*idle) SupportsAddressSpaceIO() bool             { return false }
func (*idle) CooperativelySchedulesAddressSpace() bool { return false }
func (*idle) HasCPUNumbers() bool                      { return false }
func (*idle) DetectsCPUPreemption() bool               { return false }
func (*idle) MapUnit() uint64                          { return 0 }
func (*idle) ConcurrencyCount() int                    { return 1 }
func (*idle) MinUserAddress() hostarch.Addr            { return hostarch.PageSize }
func (*idle) MaxUserAddress() hostarch.Addr            { return 1 << 46 }

func (*idle) NewAddressSpace() (platform.AddressSpace, error) { return space{}, nil }
func (p *idle) NewContext(ctx context.Context) platform.Context {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := idleContext{interrupted: make(chan struct{}, 1)}
	p.contexts[kernel.TaskFromContext(ctx)] = c
	return c
}

func (p *idle) contextOf(task *kernel.Task) idleContext {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.contexts[task]
}

// idleContext is a program that does nothing.
type idleContext struct {
	platform.Context
	interrupted chan struct{}
}

func (c idleContext) Switch(context.Context, platform.MemoryManager, *arch.Context64, int32) (*linux.SignalInfo, hostarch.AccessType, error) {
	<-c.interrupted
	return nil, hostarch.NoAccess, platform.ErrContextInterrupt
}

func (c idleContext) Interrupt() {
	select {
	case c.interrupted <- struct{}{}:
	default:
	}
}

func (idleContext) PullFullState(platform.AddressSpace, *arch.Context64) error { return nil }
func (idleContext) PrepareSleep()                                              {}
func (idleContext) PrepareStop()                                               {}
func (idleContext) Release()                                                   {}

type space struct{ platform.NoAddressSpaceIO }

func (space) MapFile(hostarch.Addr, memmap.File, memmap.FileRange, hostarch.AccessType, bool) error {
	return nil
}
func (space) Unmap(hostarch.Addr, uint64) {}
func (space) Release()                    {}
func (space) PreFork()                    {}
func (space) PostFork()                   {}

// initialize prepares gVisor's own state of the process.
var initialize = sync.OnceValue(func() error {
	cpuid.Initialize()
	return usage.Init()
})

// New returns a kernel without tasks, whose network is st, or none where st is
// nil.
func New(t testing.TB, st *stack.Stack) *kernel.Kernel {
	t.Helper()
	must(t, initialize())
	k := &kernel.Kernel{Platform: &idle{contexts: make(map[*kernel.Task]idleContext)}}
	f, err := memfile.New("memory")
	must(t, err)
	mf, err := pgalloc.NewMemoryFile(f, pgalloc.MemoryFileOpts{})
	must(t, err)
	t.Cleanup(mf.Destroy)
	k.SetMemoryFile(mf)
	vdso, err := loader.PrepareVDSO(mf)
	must(t, err)
	tk := kernel.NewTimekeeper()
	params := kernel.NewVDSOParamPage(mf, vdso.ParamPage.FileRange())
	tk.SetClocks(sentrytime.NewCalibratedClocks(false), params)
	t.Cleanup(tk.Destroy)
	users := auth.NewRootUserNamespace()
	var network inet.Stack
	if st != nil {
		network = &netstack.Stack{Stack: st}
	}
	must(t, k.Init(kernel.InitKernelArgs{
		FeatureSet:           cpuid.HostFeatureSet().Fixed(),
		Timekeeper:           tk,
		RootUserNamespace:    users,
		RootNetworkNamespace: inet.NewRootNamespace(network, nil, users),
		ApplicationCores:     1,
		Vdso:                 vdso,
		VdsoParams:           params,
		RootUTSNamespace:     kernel.NewUTSNamespace("host", "domain", users),
		RootIPCNamespace:     kernel.NewIPCNamespace(users),
		RootPIDNamespace:     kernel.NewRootPIDNamespace(users),
		Cgroup2FSInit:        cgroup2fs.NewFilesystem,
	}))
	must(t, k.Start())
	t.Cleanup(k.Pause) // a kernel that stands still takes no processor
	return k
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Task is a task to be made.
type Task struct {
	Name   string
	Parent *kernel.Task // nil for none
	Exec   bool         // started by `exec`
	// Thread makes a thread of Parent's process.
	Thread bool
	// Blocks are the signals that the task blocks.
	Blocks linux.SignalSet
}

// NewTask makes a task with a memory of its own, of which nothing is mapped.
func NewTask(t testing.TB, k *kernel.Kernel, task Task) *kernel.Task {
	t.Helper()
	ctx := k.SupervisorContext()
	memory, err := mm.NewMemoryManager(k, k.MemoryFile())
	must(t, err)
	registers := arch.New(arch.Host)
	tg := processOf(t, k, task)
	_, err = memory.SetMmapLayout(registers, tg.Limits())
	must(t, err)
	root := vfs.MakeVirtualDentry(k.ShmMount(), k.ShmMount().Root())
	config := &kernel.TaskConfig{
		Kernel:           k,
		ThreadGroup:      tg,
		SignalMask:       task.Blocks,
		TaskImage:        &kernel.TaskImage{Name: task.Name, Arch: registers, MemoryManager: memory},
		FSContext:        kernel.NewFSContext(root, root, 0o022),
		FDTable:          k.NewFDTable(),
		Credentials:      auth.NewRootCredentials(k.RootUserNamespace()),
		NetworkNamespace: k.RootNetworkNamespace(),
		AllowedCPUMask:   sched.NewFullCPUSet(k.ApplicationCores()),
		UTSNamespace:     k.RootUTSNamespace(),
		IPCNamespace:     k.RootIPCNamespace(),
		CgroupNamespace:  k.RootCgroupNamespace(),
		UserCounters:     k.GetUserCounters(auth.RootKUID),
	}
	if task.Thread {
		config.InheritParent = task.Parent
	} else {
		config.Parent = task.Parent
	}
	config.Credentials.UserNamespace.IncRef()
	config.NetworkNamespace.IncRef()
	config.UTSNamespace.IncRef()
	config.IPCNamespace.IncRef()
	config.CgroupNamespace.IncRef()
	if task.Exec {
		config.Origin = kernel.OriginExec
	}
	made, err := k.TaskSet().NewTask(ctx, config)
	must(t, err)
	return made
}

func processOf(t testing.TB, k *kernel.Kernel, task Task) *kernel.ThreadGroup {
	t.Helper()
	if task.Thread {
		return task.Parent.ThreadGroup()
	}
	limit, err := limits.NewLinuxLimitSet()
	must(t, err)
	return k.NewThreadGroup(k.RootPIDNamespace(), kernel.NewSignalHandlers(), linux.SIGCHLD, limit)
}

// Map maps size bytes of zeros into a task's memory.
func Map(t testing.TB, task *kernel.Task, size uint64) hostarch.Addr {
	t.Helper()
	at, err := task.MemoryManager().MMap(task.AsyncContext(), memmap.MMapOpts{
		Length: size, Private: true, Perms: hostarch.ReadWrite, MaxPerms: hostarch.AnyAccess,
	})
	must(t, err)
	return at
}

// Pending takes a pending signal of a task, as its own or its process's; nil
// where there is none.
func Pending(task *kernel.Task) *linux.SignalInfo {
	info, err := task.Sigtimedwait(^linux.SignalSet(0), 0)
	if err != nil {
		return nil
	}
	return info
}

// work is a function that runs on a task's goroutine.
type work struct {
	f    func()
	done chan struct{}
}

// TaskWork implements kernel.TaskWorker.
func (w work) TaskWork(*kernel.Task) {
	w.f()
	close(w.done)
}

// Do calls f on a task's goroutine, as a system call of its program would be,
// and waits for its end.
func Do(task *kernel.Task, f func()) {
	if task.GoroutineID() == 0 {
		task.Start(task.ThreadID())
	}
	w := work{f, make(chan struct{})}
	task.RegisterWork(w)
	task.Kernel().Platform.(*idle).contextOf(task).Interrupt()
	<-w.done
}
