package terminal

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// ForwardSignals hands the signals that this process gets to send, and changes
// of the window's size to r, which may be nil, until stop is called.
func ForwardSignals(r *Relay, send func(syscall.Signal)) (stop func()) {
	sigs := make(chan os.Signal, 64)
	signal.Notify(sigs)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			case s := <-sigs:
				forwardSignal(r, s, send)
			}
		}
	}()
	return func() {
		signal.Stop(sigs)
		close(done)
	}
}

func forwardSignal(r *Relay, s os.Signal, send func(syscall.Signal)) {
	switch s {
	case unix.SIGCHLD, unix.SIGURG, unix.SIGPIPE, unix.SIGTTIN, unix.SIGTTOU:
		// Meant for this process: children, the Go runtime's, and job control.
	case unix.SIGWINCH:
		if r != nil {
			r.resize()
		}
	default:
		if n, ok := s.(syscall.Signal); ok {
			send(n)
		}
	}
}
