package runsc

import (
	"context"
	"fmt"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/sentry/control"
	"gvisor.dev/gvisor/pkg/sentry/kernel/auth"
	"gvisor.dev/gvisor/runsc/config"
	"gvisor.dev/gvisor/runsc/container"
	"gvisor.dev/gvisor/runsc/specutils"

	policy "runsc-recover/checkpoint/config"
	"runsc-recover/runsc-recover/internal/sandbox"
)

// ExecOptions describes one more process for a container that runs.
type ExecOptions struct {
	// Process is complete: nothing is added from the container's spec.
	Process *specs.Process
	// Files are the process's descriptors by number, 0 to 2 included. The
	// caller keeps ownership.
	Files    map[int]*os.File
	Rootless bool
	// Started is called once the process runs, with its pid in the container;
	// its error kills it.
	Started func(pid int) error
}

// Exec runs a process in a container and returns its status: 128+n when signal
// n ended it. Signals to the calling process are handed to it, those of a
// terminal to its foreground group. When the sandbox goes away, as it does in
// a recovery, the status is 137 and the error wraps sandbox.ErrGone. The
// process is killed when ctx is done.
//
// Preconditions: the calling process isn't the supervisor, since its signals are
// taken over, and has called Register.
func Exec(ctx context.Context, h sandbox.Handle, o ExecOptions) (status int, err error) {
	conf, err := NewConfig(sandbox.BootOptions{Root: h.Root, NetworkStack: policy.NetworkSandbox, Rootless: o.Rootless}, "")
	if err != nil {
		return 0, err
	}
	// A sandbox of this driver holds one container, by the sandbox's id.
	c, err := container.Load(h.Root, container.FullID{SandboxID: h.ID, ContainerID: h.ID}, container.LoadOpts{Exact: true})
	if err != nil {
		return 0, fmt.Errorf("find sandbox: %w", err)
	}
	args, err := execArgs(conf, o)
	if err != nil {
		return 0, err
	}
	pid, err := executeKeepingOwners(c, conf, args, o.Files)
	if err != nil {
		return 0, err
	}
	defer c.ForwardSignals(pid, o.Process.Terminal)()
	kill := func() { _ = c.SignalProcess(unix.SIGKILL, pid) }
	defer context.AfterFunc(ctx, kill)()
	if err := o.Started(int(pid)); err != nil {
		kill()
		return 0, err
	}
	ws, err := c.WaitPID(pid)
	if err != nil {
		return statusKilled, fmt.Errorf("%w while a process ran in it: %w", sandbox.ErrGone, err)
	}
	return exitStatus(ws), nil
}

func execArgs(conf *config.Config, o ExecOptions) (*control.ExecArgs, error) {
	p := o.Process
	caps, err := specutils.Capabilities(conf.EnableRaw, p.Capabilities)
	if err != nil {
		return nil, fmt.Errorf("read capabilities: %w", err)
	}
	groups := make([]auth.KGID, 0, len(p.User.AdditionalGids))
	for _, g := range p.User.AdditionalGids {
		groups = append(groups, auth.KGID(g))
	}
	return &control.ExecArgs{
		Argv:             p.Args,
		Envv:             p.Env,
		WorkingDirectory: p.Cwd,
		KUID:             auth.KUID(p.User.UID),
		KGID:             auth.KGID(p.User.GID),
		ExtraKGIDs:       groups,
		Capabilities:     caps,
		StdioIsPty:       p.Terminal,
		NoNewPrivileges:  p.NoNewPrivileges,
		SupportTTYs:      true,
		FilePayload:      control.NewFilePayload(o.Files, nil),
	}, nil
}

// executeKeepingOwners starts the process. gVisor gives the files of its stdio
// to the sandbox's user, and they may be anybody's: /dev/null, or a file that
// the caller redirects to. The sandbox has them open by then, so they can go
// back to their owners.
func executeKeepingOwners(c *container.Container, conf *config.Config, args *control.ExecArgs, files map[int]*os.File) (int32, error) {
	for fd, f := range files {
		var st unix.Stat_t
		if fd > 2 || unix.Fstat(int(f.Fd()), &st) != nil {
			continue
		}
		// Where the owner couldn't be changed it can't be changed back.
		defer func() { _ = unix.Fchown(int(f.Fd()), int(st.Uid), int(st.Gid)) }()
	}
	return c.Execute(conf, args)
}
