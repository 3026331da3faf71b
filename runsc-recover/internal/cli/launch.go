package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/urfave/cli/v2"

	"runsc-recover/checkpoint/config"
	"runsc-recover/oci/errdefs"
	"runsc-recover/runsc-recover/internal/api"
	"runsc-recover/runsc-recover/internal/cli/flags"
	"runsc-recover/runsc-recover/internal/container"
	"runsc-recover/runsc-recover/internal/terminal"
)

// launchOptions are the options of create, run and restore.
type launchOptions struct {
	container.CreateOptions
	keep bool // don't delete the container when it is over
}

func bundleFlag() cli.Flag {
	return &cli.StringFlag{Name: "bundle", Aliases: []string{"b"}, Usage: "directory that holds config.json (default: the current one)"}
}

// launchFlags are the options of create, run and restore.
func launchFlags() []cli.Flag {
	return []cli.Flag{
		bundleFlag(),
		&cli.StringFlag{Name: "console-socket", Usage: "send the terminal's master end over the unix socket `PATH`"},
		&cli.StringFlag{Name: "pid-file", Usage: "write the container's pid, which is its supervisor's, to `FILE`"},
		&cli.IntFlag{Name: "preserve-fds", Usage: "hand down N descriptors from 3 on"},
		&cli.BoolFlag{Name: "no-pivot", Hidden: true, Usage: "ignored"},
		&cli.BoolFlag{Name: "no-new-keyring", Hidden: true, Usage: "ignored"},
	}
}

// foregroundFlags are the options of run and restore.
func foregroundFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "return once the container runs"},
		&cli.BoolFlag{Name: "keep", Usage: "don't delete the container when it is over"},
		&cli.BoolFlag{Name: "no-subreaper", Hidden: true, Usage: "ignored"},
	}
}

func (p *program) readLaunchOptions(c *cli.Context) (launchOptions, error) {
	g := p.globals
	o := launchOptions{
		CreateOptions: container.CreateOptions{Bundle: c.String("bundle"), Defaults: g.Recover, Detach: c.Bool("detach")},
		keep:          c.Bool("keep"),
	}
	s := &o.Supervisor
	s.ID, s.PreserveFDs, s.Notify = c.Args().First(), c.Int("preserve-fds"), os.Getenv(notifyVariable) != ""
	s.SystemdCgroup, s.Rootless, s.Network = g.SystemdCgroup, g.IsRootless(), config.Network(g.Network)
	s.Debug, s.LogFile, s.LogFormat = g.Debug, g.Log, g.LogFormat
	if s.PreserveFDs < 0 {
		return o, errdefs.Errorf(errdefs.CodeRequest, "--preserve-fds is %d", s.PreserveFDs)
	}
	for _, path := range []struct {
		flag string
		to   *string
	}{{"pid-file", &s.PidFile}, {"console-socket", &s.ConsoleSocket}, {"image-path", &s.ImagePath}} {
		var err error
		if *path.to, err = flags.AbsPath(c.String(path.flag)); err != nil {
			return o, fmt.Errorf("find --%s: %w", path.flag, err)
		}
	}
	return o, nil
}

const (
	// notifyVariable names the service manager's socket, and LISTEN_FDS how many
	// sockets it has handed down; see sd_notify(3) and sd_listen_fds(3).
	notifyVariable = "NOTIFY_SOCKET"
	listenVariable = "LISTEN_FDS"
)

func startOptions(detach bool) container.StartOptions {
	return container.StartOptions{Manager: os.Getenv(notifyVariable), Detach: detach}
}

func (p *program) create(ctx context.Context, o launchOptions) (*container.Container, *terminal.Relay, error) {
	if os.Getenv(listenVariable) != "" {
		p.warn("the sockets of %s aren't handed down: a sandbox can't listen on those of the host", listenVariable)
	}
	return p.containers.Create(ctx, o.CreateOptions)
}

func (p *program) launch(ctx context.Context, o launchOptions) error {
	if o.Detach {
		return p.runDetached(ctx, o)
	}
	return p.runForeground(ctx, o)
}

// runDetached starts the container and returns.
func (p *program) runDetached(ctx context.Context, o launchOptions) error {
	ct, _, err := p.create(ctx, o)
	if err != nil {
		return err
	}
	err = ct.Start(ctx, startOptions(true))
	if err == nil || o.Supervisor.FromStore {
		return err // a container's checkpoints aren't lost for that
	}
	return errors.Join(err, p.containers.Delete(ctx, o.Supervisor.ID, true))
}

// runForeground starts the container, stays until it is over and deletes it.
func (p *program) runForeground(ctx context.Context, o launchOptions) error {
	ct, relay, err := p.create(ctx, o)
	if err != nil {
		return err
	}
	if relay != nil {
		if err := relay.Start(); err != nil {
			return errors.Join(err, p.containers.Delete(ctx, o.Supervisor.ID, true))
		}
	}
	stop := terminal.ForwardSignals(relay, func(sig syscall.Signal) {
		_ = ct.Signal(ctx, api.SignalRequest{Signal: int(sig)})
	})
	defer stop()
	err = ct.Start(ctx, startOptions(false))
	started := err == nil
	if started {
		err = reap(ct)
	}
	if relay != nil {
		relay.Stop()
	}
	if o.keep || !started && o.Supervisor.FromStore {
		return err
	}
	// An error of the deletion must not hide the container's status.
	if derr := p.containers.Delete(ctx, o.Supervisor.ID, true); derr != nil {
		p.warn("delete container: %v", derr)
	}
	return err
}

// reap waits for the container's end and returns its status.
func reap(ct *container.Container) error {
	state, err := ct.Reap()
	if err != nil {
		return err
	}
	return endedAs(state)
}
