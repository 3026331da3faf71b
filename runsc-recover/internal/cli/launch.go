package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/config"
	"runsc-recover/oci"
	"runsc-recover/oci/errdefs"
	"runsc-recover/oci/statedir"
	"runsc-recover/runsc-recover/internal/api"
	"runsc-recover/runsc-recover/internal/cli/flags"
	"runsc-recover/runsc-recover/internal/supervisor"
	"runsc-recover/runsc-recover/internal/terminal"
)

// launchOptions are what create, run and restore were asked for.
type launchOptions struct {
	id            string
	bundle        string
	pidFile       string // absolute
	consoleSocket string // absolute
	imagePath     string // absolute, for restore
	fromStore     bool   // go on from the container's store, at checkpoint fromSeq
	fromSeq       checkpoint.Seq
	preserveFDs   int
	detach        bool           // don't stay until the container is over
	keep          bool           // don't delete it then
	network       config.Network // as the annotation or the flag asks
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

func readLaunchOptions(c *cli.Context) (launchOptions, error) {
	o := launchOptions{
		id:          c.Args().First(),
		bundle:      c.String("bundle"),
		preserveFDs: c.Int("preserve-fds"),
		detach:      c.Bool("detach"),
		keep:        c.Bool("keep"),
	}
	if o.preserveFDs < 0 {
		return o, errdefs.Errorf(errdefs.CodeRequest, "--preserve-fds is %d", o.preserveFDs)
	}
	for _, path := range []struct {
		flag string
		to   *string
	}{{"pid-file", &o.pidFile}, {"console-socket", &o.consoleSocket}, {"image-path", &o.imagePath}} {
		var err error
		if *path.to, err = flags.AbsPath(c.String(path.flag)); err != nil {
			return o, fmt.Errorf("find --%s: %w", path.flag, err)
		}
	}
	return o, nil
}

// create makes a container, up to the point where it waits for start. Where
// this process is to hold the container's terminal the relay isn't nil.
func (p *program) create(ctx context.Context, o launchOptions) (ct *container, relay *terminal.Relay, err error) {
	// Somebody who interrupts a creation gets it undone.
	ctx, stop := signal.NotifyContext(ctx, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	if err := statedir.ValidateID(o.id); err != nil {
		return nil, nil, err
	}
	pl, err := p.findPlace(o)
	if err != nil {
		return nil, nil, err
	}
	defer pl.unlock()
	bundle, err := oci.LoadBundle(pl.bundle)
	if err != nil {
		return nil, nil, err
	}
	if o.network, err = flags.NetworkOf(bundle.Spec.Annotations, p.globals.Network); err != nil {
		return nil, nil, err
	}
	config, err := p.recoverConfig(pl, bundle)
	if err != nil {
		return nil, nil, err
	}
	if err := checkConsole(bundle.Spec.Process.Terminal, o.detach, o.consoleSocket); err != nil {
		return nil, nil, err
	}
	if _, err := flags.PreservedFiles(o.preserveFDs); err != nil {
		return nil, nil, err
	}
	if err := pl.take(p.globals.Root); err != nil {
		return nil, nil, err
	}
	relay, err = p.spawn(ctx, bundle, config, pl.dir, pl.lock, o)
	if err == nil {
		ct, err = openContainer(p.globals.Root, o.id)
	}
	if err != nil && ctx.Err() != nil {
		err = errdefs.Errorf(errdefs.CodeInterrupted, "interrupted: %w", context.Cause(ctx))
	}
	if err != nil {
		return nil, nil, pl.leave(err)
	}
	return ct, relay, nil
}

// spawn starts the supervisor. The terminal of a container in the foreground
// comes to this process.
func (p *program) spawn(ctx context.Context, bundle *oci.Bundle, config config.Config, dir statedir.Dir, lock *statedir.Lock, o launchOptions) (*terminal.Relay, error) {
	var own *terminal.Socket
	socket := o.consoleSocket
	if bundle.Spec.Process.Terminal && socket == "" {
		var err error
		if own, err = terminal.Listen(); err != nil {
			return nil, err
		}
		defer own.Close()
		socket = own.Path()
	}
	if os.Getenv(listenVariable) != "" {
		p.warn("the sockets of %s aren't handed down: a sandbox can't listen on those of the host", listenVariable)
	}
	warnings, err := supervisor.Spawn(ctx, bundle.Spec, lock, supervisor.SpawnOptions{
		ID: o.id, Dir: dir, Path: bundle.Path, Policy: config,
		PidFile: o.pidFile, ConsoleSocket: socket, ImagePath: o.imagePath, FromStore: o.fromStore, FromSeq: o.fromSeq, PreserveFDs: o.preserveFDs,
		Notify: os.Getenv(notifyVariable) != "", SystemdCgroup: p.globals.SystemdCgroup, Rootless: p.globals.IsRootless(), Network: o.network,
		Debug: p.globals.Debug, LogFile: p.globals.Log, LogFormat: p.globals.LogFormat,
	})
	for _, w := range warnings {
		p.warn("%s", w)
	}
	if err != nil || own == nil {
		return nil, err
	}
	master, err := own.Receive()
	if err != nil {
		return nil, err
	}
	defer master.Close()
	return terminal.NewRelay(master)
}

// runForeground starts the container, stays until it is over and deletes it.
func (p *program) runForeground(ctx context.Context, o launchOptions) error {
	ct, relay, err := p.create(ctx, o)
	if err != nil {
		return err
	}
	if relay != nil {
		if err := relay.Start(); err != nil {
			return errors.Join(err, p.delete(ctx, deleteOptions{id: o.id, force: true}))
		}
	}
	stop := terminal.ForwardSignals(relay, func(sig syscall.Signal) {
		_ = call(ctx, func(ctx context.Context) error {
			return ct.client.Signal(ctx, api.SignalRequest{Signal: int(sig)})
		})
	})
	defer stop()
	err = p.startNotifying(ctx, ct, false)
	started := err == nil
	if started {
		err = waitSupervisor(ct)
	}
	if relay != nil {
		relay.Stop()
	}
	if o.keep || !started && o.fromStore {
		return err
	}
	// What follows must not hide the container's status.
	if derr := p.delete(ctx, deleteOptions{id: o.id, force: true}); derr != nil {
		p.warn("delete container: %v", derr)
	}
	return err
}

// waitSupervisor waits for the supervisor, which is this process's child, and
// returns its status, which is the container's.
func waitSupervisor(ct *container) error {
	child, err := os.FindProcess(ct.state.Supervisor.Pid)
	if err != nil {
		return fmt.Errorf("find supervisor: %w", err)
	}
	state, err := child.Wait()
	if err != nil {
		return fmt.Errorf("wait for supervisor: %w", err)
	}
	return endedAs(state)
}

// runDetached starts the container and returns.
func (p *program) runDetached(ctx context.Context, o launchOptions) error {
	ct, _, err := p.create(ctx, o)
	if err != nil {
		return err
	}
	if err := p.startNotifying(ctx, ct, true); err != nil && o.fromStore {
		return err // its checkpoints aren't lost for that
	} else if err != nil {
		return errors.Join(err, p.delete(ctx, deleteOptions{id: o.id, force: true}))
	}
	return nil
}

func (p *program) launch(ctx context.Context, o launchOptions) error {
	if o.detach {
		return p.runDetached(ctx, o)
	}
	return p.runForeground(ctx, o)
}
