// Package fence keeps a restored copy off the network until it is released.
//
// A fence has two halves. A socket filter drops every frame that arrives at the
// copy's packet sockets. A rule at netfilter's egress hook drops every frame
// that the sockets send: it is needed while another generation runs on the same
// interfaces. The sandbox holds the sockets, but runs nothing of the program
// before its release.
//
// It must not know gVisor, the sandbox whose sockets it fences, or why.
//
// Fence.mu guards the list of sockets and is held over system calls on them
// alone. Lift starts a goroutine, which ends once the kernel has removed the
// rule. All functions act on the network namespace of the calling thread.
package fence

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// mark is on every packet that fenced sockets send.
const mark = 0x72720001

// Fence is around the packet sockets of one copy. The zero Fence keeps out
// arriving frames alone, for a copy whose predecessor doesn't run. Methods are
// safe for concurrent use.
type Fence struct {
	rule *egressRule // nil for the zero Fence

	mu sync.Mutex
	// sockets are duplicates of the fenced ones, guarded by mu.
	sockets []*os.File
}

// New returns a fence for a copy on the given network devices, which drops
// departing frames as well. The name is unique in the network namespace. The
// caller calls Remove. It fails on kernels without netfilter's egress hook,
// which came with Linux 5.16.
func New(name string, devices []string) (*Fence, error) {
	rule, err := dropEgress(name, mark, devices)
	if err != nil {
		return nil, err
	}
	return &Fence{rule: rule}, nil
}

// Add fences a packet socket, which stays the caller's.
//
// Preconditions: the socket isn't bound yet, or frames could arrive before.
func (f *Fence) Add(fd int) error {
	nothing := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}
	prog := unix.SockFprog{Len: 1, Filter: &nothing}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &prog); err != nil {
		return fmt.Errorf("drop arriving frames: %w", err)
	}
	if f.rule != nil {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, mark); err != nil {
			return fmt.Errorf("mark departing frames: %w", err)
		}
	}
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("duplicate packet socket: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sockets = append(f.sockets, os.NewFile(uintptr(dup), "fenced"))
	return nil
}

// Lift lets the copy on the network, in both directions. The rule, which drops
// nothing any more, is removed in the background.
func (f *Fence) Lift() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	for _, s := range f.sockets {
		fd := int(s.Fd())
		errs = append(errs,
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, 0),
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("let the copy on the network: %w", err)
	}
	f.closeLocked()
	go f.rule.remove() // Remove returns its error
	return nil
}

// Remove removes the rest of a fence whose sandbox is gone. It may be called
// more than once, and after Lift.
func (f *Fence) Remove() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closeLocked()
	return f.rule.remove()
}

func (f *Fence) closeLocked() {
	for _, s := range f.sockets {
		s.Close()
	}
	f.sockets = nil
}
