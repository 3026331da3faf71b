package supervisor

import (
	"context"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"runsc-recover/runsc-recover/internal/api"
)

// forwarded are the signals that may be sent to the supervisor because its pid is
// the container's. SIGPIPE is caught too, and dropped: sandboxes would inherit
// that it is ignored.
func forwarded() []os.Signal {
	return []os.Signal{
		unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1,
		unix.SIGUSR2, unix.SIGALRM, unix.SIGTSTP, unix.SIGWINCH, unix.SIGPIPE,
	}
}

// receiver is the part of the container that a signal is for.
type receiver int

const (
	toFirst      receiver = iota // the first process
	toForeground                 // the terminal's foreground processes
	toNobody
)

// receiverOf decides for whom a signal to the supervisor is. A terminal sends
// some to its foreground processes rather than to the first one; without a
// terminal, two of those mean the supervisor alone.
func receiverOf(sig os.Signal, terminal bool) receiver {
	switch sig {
	case unix.SIGPIPE:
		return toNobody
	case unix.SIGINT, unix.SIGQUIT:
		if terminal {
			return toForeground
		}
	case unix.SIGTSTP, unix.SIGWINCH:
		if terminal {
			return toForeground
		}
		return toNobody
	}
	return toFirst
}

// forwardSignals passes signals sent to the supervisor on to the program, in
// their order, until ctx is done.
func (s *supervisor) forwardSignals(ctx context.Context) {
	ch := make(chan os.Signal, 16)
	signal.Notify(ch, forwarded()...)
	defer signal.Stop(ch)
	for {
		select {
		case <-ctx.Done():
			return
		case sig := <-ch:
			if err := s.forward(ctx, sig.(unix.Signal)); err != nil {
				s.log.Warn("signal not forwarded", "signal", sig, "error", err)
			}
		}
	}
}

func (s *supervisor) forward(ctx context.Context, sig unix.Signal) error {
	switch receiverOf(sig, s.base.Terminal) {
	case toForeground:
		return s.engine.SignalForeground(ctx, int(sig))
	case toFirst:
		return s.engine.Signal(ctx, api.SignalRequest{Signal: int(sig)})
	}
	return nil
}
