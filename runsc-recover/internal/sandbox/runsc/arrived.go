package runsc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"gvisor.dev/gvisor/pkg/log"
	"gvisor.dev/gvisor/runsc/boot"
	"gvisor.dev/gvisor/runsc/config"

	"runsc-recover/checkpoint/memfile"
	"runsc-recover/runsc-recover/internal/sandbox/rxqueue"
	"runsc-recover/sentry/wire"
)

// findQueues finds the packet sockets of a sandbox for which gVisor has made
// them.
func (s *instance) findQueues() {
	if s.conf.Network != config.NetworkSandbox {
		return
	}
	if err := s.queues.Find(s.sb.Pid.Load()); err != nil {
		log.Warningf("recover: unread frames will be lost with the sandbox: %v", err)
	}
}

// deliverArrived gives the copy the frames that have arrived since its
// predecessor stopped: those that the predecessor took in and kept, if it lives
// and isn't nil, and those that it left in its queues.
func (s *instance) deliverArrived(ctx context.Context, stopped *instance, dead *rxqueue.Queues) error {
	unread := []map[string][]byte{dead.Unread()}
	var errs []error
	if stopped != nil {
		unread = append(unread, stopped.queues.Unread())
		errs = append(errs, s.deliverKept(ctx, stopped))
	}
	for _, frames := range unread {
		for link, b := range frames {
			errs = append(errs, s.deliverBytes(ctx, link, b))
		}
	}
	return errors.Join(errs...)
}

// deliverLate passes on, while the stopped sandbox is still there, frames that
// were on their way through it: under load its threads wait for a processor.
func (s *instance) deliverLate(ctx context.Context, stopped *instance) {
	const first, last = time.Millisecond, 64 * time.Millisecond
	for wait := first; wait <= last; wait *= 2 {
		time.Sleep(wait)
		if err := s.deliverKept(ctx, stopped); err != nil {
			return // a sandbox of the two is gone
		}
	}
}

func (s *instance) deliverBytes(ctx context.Context, link string, frames []byte) error {
	f, err := memfile.New("frames")
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(frames); err != nil {
		return fmt.Errorf("write frames: %w", err)
	}
	return s.deliver(ctx, link, f)
}

// deliverKept passes on the frames that the stopped sandbox has kept, in files
// that aren't read here.
func (s *instance) deliverKept(ctx context.Context, stopped *instance) error {
	var errs []error
	for _, l := range s.links() {
		errs = append(errs, s.deliverKeptAt(ctx, stopped, l.Name))
	}
	return errors.Join(errs...)
}

func (s *instance) deliverKeptAt(ctx context.Context, stopped *instance, link string) error {
	f, err := memfile.New("frames")
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := stopped.ask(ctx, askTimeout, wire.Request{Verb: wire.VerbKept, Link: link}, f); err != nil {
		return fmt.Errorf("take the frames kept at %s: %w", link, err)
	}
	if isEmpty(f) {
		return nil
	}
	return s.deliver(ctx, link, f)
}

// deliver lets a file of frames come in at an interface of the copy.
func (s *instance) deliver(ctx context.Context, link string, f *os.File) error {
	if _, err := s.ask(ctx, askTimeout, wire.Request{Verb: wire.VerbDeliver, Link: link}, f); err != nil {
		return fmt.Errorf("deliver the frames for %s: %w", link, err)
	}
	return nil
}

// links are the container's interfaces, as far as they are known.
func (s *instance) links() []boot.FDBasedLink {
	s.mu.Lock()
	defer s.mu.Unlock()
	if args, ok := s.network.(*boot.CreateLinksAndRoutesArgs); ok {
		return args.FDBasedLinks
	}
	return nil
}
