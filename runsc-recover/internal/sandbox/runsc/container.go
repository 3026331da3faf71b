package runsc

import (
	"context"

	"golang.org/x/sys/unix"

	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/sentry/wire"
)

// rootContainer implements sandbox.Container for the first container of a
// sandbox, which has the sandbox's id with gVisor.
type rootContainer struct{ g *generation }

// Container implements sandbox.Operating.
func (g *generation) Container(name string) sandbox.Container {
	if name != g.container {
		return nil
	}
	return &rootContainer{g}
}

// Handle implements sandbox.Container.
func (c *rootContainer) Handle() sandbox.Handle {
	h := c.g.Handle()
	h.Container = c.g.container
	return h
}

// Start implements sandbox.Container.
func (c *rootContainer) Start(ctx context.Context) error {
	if _, err := c.g.ask(ctx, askTimeout, wire.Request{Verb: wire.VerbRun}); err != nil {
		return err
	}
	err := c.g.bounded(ctx, saveTimeout, "start sandbox", func() error {
		return c.g.load(func() error { return c.g.c.Start(c.g.conf) })
	})
	if err != nil {
		return err
	}
	c.g.findQueues()
	c.g.dead.Drop()
	c.g.serves.Store(true)
	close(c.g.started)
	return nil
}

// Signal implements sandbox.Container.
func (c *rootContainer) Signal(ctx context.Context, sig int, all bool) error {
	return c.g.bounded(ctx, askTimeout, "signal sandbox", func() error {
		return c.g.sb.SignalContainer(c.g.id, unix.Signal(sig), all)
	})
}

// SignalForeground implements sandbox.Container.
func (c *rootContainer) SignalForeground(ctx context.Context, sig int) error {
	_, err := c.g.ask(ctx, askTimeout, wire.Request{Verb: wire.VerbForeground, Container: c.g.container, Signo: int32(sig)})
	return err
}

// KillProcess implements sandbox.Container.
func (c *rootContainer) KillProcess(ctx context.Context, pid int) error {
	return c.g.bounded(ctx, askTimeout, "kill process", func() error {
		return c.g.sb.SignalProcess(c.g.id, int32(pid), unix.SIGKILL, false)
	})
}

// Processes implements sandbox.Container.
func (c *rootContainer) Processes(ctx context.Context) ([]sandbox.Process, error) {
	var ps []sandbox.Process
	err := c.g.bounded(ctx, askTimeout, "list processes", func() error {
		list, err := c.g.sb.Processes(c.g.id)
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
