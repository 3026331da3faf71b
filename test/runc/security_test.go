package runc

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	runc "github.com/containerd/go-runc"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/test/harness"
)

// confined is a way to confine a program, and how it looks from inside.
type confined struct {
	name   string
	change func(*specs.Spec)
	script string // prints want when the program is confined
	want   string
}

var confinements = []confined{
	{"capabilities", func(s *specs.Spec) {
		caps := []string{"CAP_CHOWN", "CAP_KILL"}
		s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps}
	}, `grep -E '^Cap(Prm|Eff|Bnd)' /proc/self/status`, "CapPrm:\t0000000000000021\nCapEff:\t0000000000000021\nCapBnd:\t0000000000000021\n"},
	{"no capabilities", func(s *specs.Spec) { s.Process.Capabilities = nil },
		`grep -E '^CapEff' /proc/self/status`, "CapEff:\t0000000000000000\n"},
	{"user and groups", func(s *specs.Spec) {
		s.Process.User = specs.User{UID: 1000, GID: 1001, AdditionalGids: []uint32{7, 8}}
		s.Process.Capabilities = nil
	}, `grep -E '^(Uid|Gid|Groups)' /proc/self/status | tr '\t' ' '`, "Uid: 1000 1000 1000 1000\nGid: 1001 1001 1001 1001\nGroups: 7 8 \n"},
	{"read-only root", func(s *specs.Spec) { s.Root.Readonly = true },
		`touch /file || echo refused`, "touch: /file: Read-only file system\nrefused\n"},
	{"masked and read-only paths", func(s *specs.Spec) {
		s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = []string{"/image-file", "/etc/passwd", "/proc/kcore"}, []string{"/etc", "/proc/sys"}
	}, `cat /image-file /etc/passwd; touch /etc/new || echo refused`, "touch: /etc/new: Read-only file system\nrefused\n"},
	{"resource limits", func(s *specs.Spec) {
		s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 77, Hard: 78}, {Type: "RLIMIT_CORE", Soft: 0, Hard: 4096}}
	}, `ulimit -n; ulimit -Hn; ulimit -c`, "77\n78\n0\n"},
	{"seccomp", func(s *specs.Spec) {
		s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchX86_64},
			Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir", "mkdirat"}, Action: specs.ActErrno}}}
	}, `mkdir /tmp/x || echo refused; grep ^Seccomp: /proc/self/status`, "mkdir: can't create directory '/tmp/x': Operation not permitted\nrefused\nSeccomp:\t2\n"},
}

// Each limit holds for the program and for exec's processes, before and after a
// rollback.
func TestConfinement(t *testing.T) {
	t.Parallel()
	for _, tc := range confinements {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, runc.JSON)
			b := c.Shell(fmt.Sprintf("trap '(%s) 2>&1; echo end' USR1; echo ready; while :; do sleep 0.05; done", strings.ReplaceAll(tc.script, "'", `'\''`)))
			tc.change(b.Spec)
			b.Write()
			ct := c.start(b)
			ct.out.says("ready", 1)
			for i := range 2 {
				if i > 0 {
					ct.rollBack()
				}
				c.must(c.Runc.Kill(c.ctx, ct.id, 10, nil))
				ct.out.says("end\n", i+1)
				if got := ct.out.text(); got != "ready\n"+strings.Repeat(tc.want+"end\n", i+1) {
					t.Errorf("rollbacks %d: the program saw %q, want %q", i, got, tc.want)
				}
			}
		})
	}
}

// Under the profile that engines use, which allows only the calls that it names,
// the recovery system call works, and so do programs that fall back on ENOSYS.
func TestRecoveryUnderAStrictProfile(t *testing.T) {
	t.Parallel()
	c := newClient(t, runc.JSON)
	enosys := uint(38)
	b := c.Bundle([]string{"/bin/behave", "report"}, "behave").Recover("interval", "24h")
	b.Spec.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Architectures: []specs.Arch{specs.ArchX86_64, specs.ArchAARCH64}, Syscalls: []specs.LinuxSyscall{
		{Names: ordinaryCalls(), Action: specs.ActAllow},
		{Names: []string{"clone3"}, Action: specs.ActErrno, ErrnoRet: &enosys},
	}}
	b.Write()
	ct := c.start(b)
	if got := waitFor(t, ct.pid); got != 0 || !strings.Contains(ct.out.text(), "recovered") {
		t.Errorf("ended with %d: %s", got, ct.out.text())
	}
}

func ordinaryCalls() []string {
	return strings.Fields(`arch_prctl brk clock_gettime clock_nanosleep clone close execve exit exit_group fcntl fstat futex
		getpid getrandom gettid ioctl madvise mmap mprotect mremap munmap nanosleep newfstatat open openat poll ppoll prctl prlimit64 read
		readlink readlinkat rseq rt_sigaction rt_sigprocmask rt_sigreturn sched_getaffinity sched_yield set_robust_list set_tid_address
		sigaltstack tgkill tkill uname write writev`)
}

// An action that a profile asks for and gVisor doesn't have is refused.
func TestUnknownSeccompActions(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	b := rt.Shell(serve)
	b.Spec.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActNotify}
	b.Write()
	rt.Refused(1, "gVisor has no action SCMP_ACT_NOTIFY", "create", "--bundle", b.Dir, rt.NewID())
	b.Spec.Linux.Seccomp = nil
	b.Spec.Linux.RootfsPropagation = "shared"
	b.Write()
	rt.Refused(1, "gVisor can't run what config.json asks for", "create", "--bundle", b.Dir, rt.NewID())
	rt.CheckLeaks()
}

// Nothing in the state directory, nor in a store elsewhere, is open to others.
func TestFilesAreClosedToOthers(t *testing.T) {
	t.Parallel()
	c := newClient(t, runc.JSON)
	store := filepath.Join(c.Dir, "store")
	c.must(os.Mkdir(store, 0o700))
	image := filepath.Join(c.Dir, "saved")
	ct := c.start(c.Shell(serve).Recover("durability", "disk").Recover("store", store))
	ct.out.says("ready", 1)
	ct.rollBack()
	c.must(c.Runc.Checkpoint(c.ctx, ct.id, &runc.CheckpointOpts{ImagePath: image}, runc.LeaveRunning))
	seen := 0
	for _, dir := range []string{filepath.Join(c.Runtime.Root, ct.id), store, image} {
		c.must(filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return nil // removed meanwhile
			}
			if fi, err := d.Info(); err == nil && fi.Mode().Perm()&0o077 != 0 && fi.Mode().Type() != fs.ModeSymlink && !belowClosed(dir, path) {
				t.Errorf("%s has mode %v", path, fi.Mode())
			}
			seen++
			return nil
		}))
	}
	if seen < 10 {
		t.Errorf("only %d files were looked at", seen)
	}
}

// belowClosed reports whether gVisor made the file, in a directory of its own
// that others can't enter.
func belowClosed(dir, path string) bool {
	rel, err := filepath.Rel(filepath.Join(dir, "gvisor"), path)
	return err == nil && strings.Contains(rel, "/")
}

// The supervisor and the sandbox hold no more than they need, whatever their
// creator held.
func TestTheRuntimesOwnPrivileges(t *testing.T) {
	t.Parallel()
	c := newClient(t, runc.JSON)
	ct := c.start(c.Shell(serve))
	ct.out.says("ready", 1)
	ct.rollBack()
	const rebootAndModules = 1<<22 | 1<<16
	for _, set := range []string{"CapInh", "CapAmb"} {
		if caps := capabilities(t, ct.pid, set); caps != 0 {
			t.Errorf("the supervisor's %s is %x", set, caps)
		}
	}
	pids, err := c.Runc.Ps(c.ctx, ct.id)
	c.must(err)
	filtered := 0
	for _, pid := range pids {
		for _, set := range []string{"CapPrm", "CapEff", "CapBnd"} {
			if caps := capabilities(t, pid, set); caps&rebootAndModules != 0 {
				t.Errorf("%s of %d is %x", set, pid, caps)
			}
		}
		if strings.Contains(status(t, pid), "Seccomp:\t2\n") {
			filtered++
		}
	}
	if filtered < 2 {
		t.Errorf("%d of the processes %v have a host filter, want sandbox and gofer", filtered, pids)
	}
}

func status(t *testing.T, pid int) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func capabilities(t *testing.T, pid int, set string) uint64 {
	t.Helper()
	_, after, _ := strings.Cut(status(t, pid), set+":\t")
	var caps uint64
	if _, err := fmt.Sscanf(after, "%x", &caps); err != nil {
		t.Fatalf("read %s of %d: %v", set, pid, err)
	}
	return caps
}

// A mount that is read-only with all below it is so by either of its names.
func TestReadOnlyMounts(t *testing.T) {
	t.Parallel()
	c := newClient(t, runc.JSON)
	b := c.Shell(serve)
	dir := filepath.Join(c.Dir, "source")
	c.must(os.Mkdir(dir, 0o777))
	for _, option := range []string{"ro", "rro", "rw"} {
		b.Mount(dir, "/"+option, option)
	}
	ct := c.start(b)
	ct.out.says("ready", 1)
	for i := range 2 {
		if i > 0 {
			ct.rollBack()
		}
		for option, writable := range map[string]bool{"ro": false, "rro": false, "rw": true} {
			if out, err := ct.exec("touch /" + option + "/file"); (err == nil) != writable {
				t.Errorf("%s: %v: %s", option, err, out)
			}
		}
	}
}

// The mount namespace of the container's pid shows the container's files, as far
// as the host has them, and nothing of the host's own.
func TestThePidsMountNamespace(t *testing.T) {
	t.Parallel()
	c := newClient(t, runc.JSON)
	b := c.Shell(serve)
	for _, option := range []string{"ro", "rw"} {
		dir := filepath.Join(c.Dir, option)
		c.must(os.Mkdir(dir, 0o755))
		c.must(os.WriteFile(filepath.Join(dir, "file"), []byte(option), 0o644))
		b.Mount(dir, "/volumes/"+option, option)
	}
	ct := c.start(b)
	ct.out.says("ready", 1)
	root := filepath.Join("/proc", strconv.Itoa(ct.pid), "root")
	for i := range 2 {
		if i > 0 {
			ct.rollBack()
		}
		for name, want := range map[string]string{"image-file": "from the image", "volumes/ro/file": "ro", "volumes/rw/file": "rw"} {
			if got, err := os.ReadFile(filepath.Join(root, name)); err != nil || string(got) != want {
				t.Errorf("%s holds %q, %v", name, got, err)
			}
		}
		for name, writable := range map[string]bool{"": true, "volumes/rw": true, "volumes/ro": false, "tmp": false, "proc": false} {
			file := filepath.Join(name, fmt.Sprintf("written-%d", i))
			if err := os.WriteFile(filepath.Join(root, file), []byte("in"), 0o644); (err == nil) != writable {
				t.Errorf("%s: %v", file, err)
			}
			if out, err := ct.exec("cat /" + file); (err == nil && out == "in") != writable {
				t.Errorf("the program reads %q of %s, %v", out, file, err)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(root, c.Dir)); err == nil {
		t.Error("the host's files are there")
	}
}

// A cgroup that others are in isn't the container's alone, which its creator
// should know.
func TestACgroupOfOthers(t *testing.T) {
	t.Parallel()
	c := newClient(t, runc.JSON)
	b := withMemory(c, c.Shell(serve), 512<<20)
	first, second := c.start(b), c.start(b)
	log, err := os.ReadFile(c.Log)
	if err != nil || !strings.Contains(string(log), "container's cgroup is not empty") {
		t.Errorf("the log says %s, %v", log, err)
	}
	c.must(c.Runc.Delete(c.ctx, first.id, &runc.DeleteOpts{Force: true}))
	second.out.says("ready", 1)
	c.must(c.Runc.Delete(c.ctx, second.id, &runc.DeleteOpts{Force: true}))
	c.CheckLeaks()
}
