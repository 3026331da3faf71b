package runsc

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"gvisor.dev/gvisor/runsc/boot"

	"runsc-recover/runsc-recover/internal/sandbox"
)

// silentMark marks what a silent copy sends.
const silentMark = 0x72720001

// silence keeps a restored copy off the network until it is released: a filter
// on its packet sockets drops all that comes in. While another generation runs
// on the same interfaces, a rule of the host's drops all that goes out, too.
// The sandbox holds the sockets, but it runs nothing of the program until it
// is released.
type silence struct {
	rule *egressRule // nil where there is no network, or no other generation

	mu sync.Mutex
	// sockets are duplicates of the silent ones, guarded by mu.
	sockets []*os.File
}

// silenced prepares silence for a sandbox that is to be booted. Errors:
// supervisor.ErrNotFenced where the host can't keep a copy silent.
func (b *Booter) silenced(opts sandbox.BootOptions) (*silence, error) {
	switch {
	case !opts.Fenced, b.Network == "none":
		return &silence{}, nil
	case b.Network != "sandbox":
		return nil, fmt.Errorf("%w: it would share the network of the host", sandbox.ErrNotFenced)
	}
	args, ok := opts.Network.(*boot.CreateLinksAndRoutesArgs)
	if !ok {
		return nil, fmt.Errorf("%w: the network's configuration isn't known", sandbox.ErrNotFenced)
	}
	var devices []string
	for _, l := range args.FDBasedLinks {
		devices = append(devices, l.Name)
	}
	if len(devices) == 0 {
		return &silence{}, nil
	}
	rule, err := dropEgress(opts.ID, silentMark, devices)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", sandbox.ErrNotFenced, err)
	}
	return &silence{rule: rule}, nil
}

// impose silences a packet socket, which isn't bound yet.
func (s *silence) impose(fd int) error {
	if err := attachFilter(fd, []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K}}); err != nil {
		return fmt.Errorf("drop what comes in: %w", err)
	}
	if s.rule != nil {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, silentMark); err != nil {
			return fmt.Errorf("mark what goes out: %w", err)
		}
	}
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("duplicate packet socket: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sockets = append(s.sockets, os.NewFile(uintptr(dup), "silent"))
	return nil
}

// attachFilter makes a socket receive only what the filter lets pass.
func attachFilter(fd int, filter []unix.SockFilter) error {
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &prog)
}

// lift lets the copy speak and hear. The rule, which concerns nothing any
// more, goes by the way.
func (s *silence) lift() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, f := range s.sockets {
		fd := int(f.Fd())
		errs = append(errs,
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, 0),
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("let the copy on the network: %w", err)
	}
	s.dropLocked()
	go s.rule.remove()
	return nil
}

// end removes what is left of the silence, whose sandbox is gone.
func (s *silence) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropLocked()
	s.rule.remove()
}

func (s *silence) dropLocked() {
	closeAll(s.sockets)
	s.sockets = nil
}
