package container

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"runsc-recover/checkpoint/config"
	"runsc-recover/oci"
	"runsc-recover/oci/errdefs"
	"runsc-recover/oci/statedir"
	"runsc-recover/runsc-recover/internal/supervisor"
	"runsc-recover/runsc-recover/internal/terminal"
)

// CreateOptions describe a new container.
type CreateOptions struct {
	// Supervisor are the options of the container's supervisor. Create sets
	// directory, bundle and configuration; Network is the default, which an
	// annotation may overrule.
	Supervisor supervisor.Options
	// Bundle is the directory that holds config.json; empty for the current one,
	// or for that of the container that is brought back.
	Bundle string
	// Defaults are those of the recovery configuration, by option name.
	Defaults map[string]string
	// Detach says that this process isn't to hold the container's terminal.
	Detach bool
}

// Create makes a container, up to the point where it waits for Start. Unless
// Detach is set or there is a console socket, the container's terminal, if it
// has one, is the caller's to relay. A creation that fails, or is interrupted
// by a signal, leaves nothing behind, and a container that was to be brought
// back from its store is as it was before.
func (r *Root) Create(ctx context.Context, o CreateOptions) (ct *Container, relay *terminal.Relay, err error) {
	ctx, stop := signal.NotifyContext(ctx, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	if err := statedir.ValidateID(o.Supervisor.ID); err != nil {
		return nil, nil, err
	}
	pl, err := r.findPlace(o)
	if err != nil {
		return nil, nil, err
	}
	defer pl.unlock()
	bundle, err := oci.LoadBundle(pl.bundle)
	if err != nil {
		return nil, nil, err
	}
	if err := settle(&o, pl, bundle); err != nil {
		return nil, nil, err
	}
	if err := pl.take(); err != nil {
		return nil, nil, err
	}
	o.Supervisor.Dir = pl.dir
	relay, err = r.spawn(ctx, bundle, pl.lock, o.Supervisor)
	if err == nil {
		ct, err = r.Open(o.Supervisor.ID)
	}
	if err != nil && ctx.Err() != nil {
		err = errdefs.Errorf(errdefs.CodeInterrupted, "interrupted: %w", context.Cause(ctx))
	}
	if err != nil {
		return nil, nil, pl.leave(err)
	}
	return ct, relay, nil
}

// settle sets those of the supervisor's options that bundle and place decide,
// and refuses options that don't fit them.
func settle(o *CreateOptions, pl *place, bundle *oci.Bundle) (err error) {
	s := &o.Supervisor
	s.Bundle = bundle.Path
	if s.Network, err = networkOf(bundle.Spec.Annotations, s.Network); err != nil {
		return err
	}
	if s.Config, err = pl.recoverConfig(bundle, o.Defaults); err != nil {
		return err
	}
	if err := CheckConsole(bundle.Spec.Process.Terminal, o.Detach, s.ConsoleSocket); err != nil {
		return err
	}
	return checkPreserved(s.PreserveFDs)
}

// networkOf is the network stack that a container's annotation asks for, or
// else the default.
func networkOf(annotations map[string]string, byDefault config.Network) (config.Network, error) {
	value, ok := annotations[config.NetworkAnnotation]
	if !ok {
		return byDefault, nil
	}
	if n := config.Network(value); n.Valid() {
		return n, nil
	}
	return "", errdefs.Errorf(errdefs.CodeAnnotation, "read configuration: %s is %q, allowed are %q", config.NetworkAnnotation, value, config.Networks())
}

// spawn starts the supervisor. A terminal without a console socket comes to
// this process.
func (r *Root) spawn(ctx context.Context, bundle *oci.Bundle, lock *statedir.Lock, o supervisor.Options) (*terminal.Relay, error) {
	var own *terminal.Socket
	if bundle.Spec.Process.Terminal && o.ConsoleSocket == "" {
		var err error
		if own, err = terminal.Listen(); err != nil {
			return nil, err
		}
		defer own.Close()
		o.ConsoleSocket = own.Path()
	}
	warnings, err := supervisor.Spawn(ctx, bundle.Spec, lock, o)
	for _, w := range warnings {
		r.Log.Warn(w)
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

// CheckConsole refuses a terminal that nobody would hold, and a socket that
// nobody would use.
func CheckConsole(terminal, detach bool, socket string) error {
	switch {
	case detach && terminal && socket == "":
		return errdefs.Errorf(errdefs.CodeRequest, "cannot allocate tty if runc will detach without setting console socket")
	case !terminal && socket != "":
		return errdefs.Errorf(errdefs.CodeRequest, "cannot use console socket if runc will not detach or allocate tty")
	}
	return nil
}

// PreservedFiles are the n descriptors after stdio that the caller hands down.
func PreservedFiles(n int) ([]*os.File, error) {
	if err := checkPreserved(n); err != nil {
		return nil, err
	}
	var files []*os.File
	for i := range n {
		files = append(files, os.NewFile(uintptr(3+i), preservedName(i)))
	}
	return files, nil
}

func checkPreserved(n int) error {
	for i := range n {
		if _, err := os.Stat(preservedName(i)); err != nil {
			return errdefs.Errorf(errdefs.CodeRequest, "unable to stat preserved-fd %d (of %d): %w", i, n, err)
		}
	}
	return nil
}

func preservedName(i int) string { return fmt.Sprintf("/proc/self/fd/%d", 3+i) }
