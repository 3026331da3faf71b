package runsc

import (
	"context"

	"golang.org/x/sys/unix"

	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/sentry/wire"
)

// rootContainer is the first container of a sandbox, which for gVisor has the
// sandbox's id. It implements sandbox.Container.
type rootContainer struct{ in *instance }

// Container implements sandbox.Operating.
func (s *instance) Container(name string) sandbox.Container {
	if name != s.container {
		return nil
	}
	return rootContainer{s}
}

// Handle implements sandbox.Container.
func (c rootContainer) Handle() sandbox.Handle {
	h := c.in.Handle()
	h.Container = c.in.container
	return h
}

// Start implements sandbox.Container.
func (c rootContainer) Start(ctx context.Context) error {
	s := c.in
	if _, err := s.ask(ctx, askTimeout, wire.Request{Verb: wire.VerbRun}); err != nil {
		return err
	}
	err := s.bounded(ctx, saveTimeout, "start sandbox", func() error {
		return s.load(func() error { return s.c.Start(s.conf) })
	})
	if err != nil {
		return err
	}
	s.findQueues()
	s.dead.Drop()
	s.serves.Store(true)
	close(s.started)
	return nil
}

// Signal implements sandbox.Container.
func (c rootContainer) Signal(ctx context.Context, sig int, all bool) error {
	return c.in.bounded(ctx, askTimeout, "signal sandbox", func() error {
		return c.in.sb.SignalContainer(c.in.id, unix.Signal(sig), all)
	})
}

// SignalForeground implements sandbox.Container.
func (c rootContainer) SignalForeground(ctx context.Context, sig int) error {
	_, err := c.in.ask(ctx, askTimeout, wire.Request{Verb: wire.VerbForeground, Container: c.in.container, Signo: int32(sig)})
	return err
}

// KillProcess implements sandbox.Container.
func (c rootContainer) KillProcess(ctx context.Context, pid int) error {
	return c.in.bounded(ctx, askTimeout, "kill process", func() error {
		return c.in.sb.SignalProcess(c.in.id, int32(pid), unix.SIGKILL, false)
	})
}

// Processes implements sandbox.Container.
func (c rootContainer) Processes(ctx context.Context) ([]sandbox.Process, error) {
	var ps []sandbox.Process
	err := c.in.bounded(ctx, askTimeout, "list processes", func() error {
		list, err := c.in.sb.Processes(c.in.id)
		for _, p := range list {
			ps = append(ps, sandbox.Process{
				PID: int(p.PID), PPID: int(p.PPID), UID: int(p.UID),
				TTY: p.TTY, STime: p.STime, Time: p.Time, Cmd: p.Cmd,
			})
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return ps, nil
}
