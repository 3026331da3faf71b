package supervisor

import (
	"context"
	"os"
	"os/signal"
	"slices"

	"golang.org/x/sys/unix"

	"runsc-recover/runsc-recover/internal/api"
)

// forwarded are the signals that somebody may send to the supervisor because
// its pid is the container's. SIGPIPE is caught too, and dropped: ignoring it
// would be inherited by sandboxes.
func forwarded() []os.Signal {
	return []os.Signal{
		unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1,
		unix.SIGUSR2, unix.SIGALRM, unix.SIGTSTP, unix.SIGWINCH, unix.SIGPIPE,
	}
}

// fromTerminal reports whether the terminal sends the signal, to its
// foreground processes rather than to the first one.
func fromTerminal(s os.Signal) bool {
	return slices.Contains([]os.Signal{unix.SIGINT, unix.SIGQUIT, unix.SIGTSTP, unix.SIGWINCH}, s)
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
			if sig == unix.SIGPIPE {
				continue
			}
			if err := s.forward(ctx, sig); err != nil {
				s.log.Warn("forward signal", "signal", sig, "error", err)
			}
		}
	}
}

func (s *supervisor) forward(ctx context.Context, sig os.Signal) error {
	n := int(sig.(unix.Signal))
	switch {
	case s.base.Terminal && fromTerminal(sig):
		return s.engine.SignalForeground(ctx, n)
	case fromTerminal(sig) && (sig == unix.SIGWINCH || sig == unix.SIGTSTP):
		return nil // without a terminal they mean this process alone
	}
	return s.engine.Signal(ctx, api.SignalRequest{Signal: n})
}
