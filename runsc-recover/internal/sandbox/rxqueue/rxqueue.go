// Package rxqueue reads the frames that a sandbox left in the receive queues of
// its packet sockets. A sandbox that stops, or dies, leaves frames there whose
// senders would wait for a second before they send again; its copy gets them
// instead.
//
// It must not know gVisor, the sandbox's protocols, or which sandbox comes
// next. The owner of the sockets may be hostile: frames are bounded and never
// interpreted.
//
// Queues.mu guards the list of sockets and Keeper.mu the kept Queues; Keeper.mu
// is taken first. Neither is held over a call that blocks. Close starts a
// goroutine for each socket, which ends once the kernel has closed it.
package rxqueue

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"runsc-recover/sentry/wire"
)

// Queues are the receive queues of a sandbox's packet sockets. They hold
// duplicates of the sockets, which outlive the sandbox. The zero Queues and nil
// are empty; add to the zero Queues alone. Methods are safe for concurrent use.
type Queues struct {
	mu  sync.Mutex
	all []queue // guarded by mu
}

// queue holds a number instead of an os.File, which would make the sandbox's
// socket blocking.
type queue struct {
	link string // the interface's name
	fd   int
}

// Add adds a socket on an interface. It stays the caller's.
func (q *Queues) Add(link string, fd int) error {
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("duplicate packet socket: %w", err)
	}
	q.adopt(link, dup)
	return nil
}

// adopt takes ownership of fd.
func (q *Queues) adopt(link string, fd int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.all = append(q.all, queue{link, fd})
}

// Find adds the packet sockets that a process has open.
//
// Preconditions: the calling thread is in the sockets' network namespace.
func (q *Queues) Find(pid int) error {
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return fmt.Errorf("open process %d: %w", pid, err)
	}
	defer unix.Close(pidfd)
	dir := filepath.Join("/proc", strconv.Itoa(pid), "fd")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("list the sandbox's files: %w", err)
	}
	for _, entry := range entries {
		target, _ := os.Readlink(filepath.Join(dir, entry.Name())) // the file may be closed by now
		n, err := strconv.Atoi(entry.Name())
		if err != nil || !strings.HasPrefix(target, "socket:") {
			continue
		}
		fd, err := unix.PidfdGetfd(pidfd, n, 0)
		if err != nil {
			return fmt.Errorf("duplicate the sandbox's socket: %w", err)
		}
		if link, ok := boundInterface(fd); ok {
			q.adopt(link, fd)
		} else {
			unix.Close(fd)
		}
	}
	return nil
}

// boundInterface returns the interface that a packet socket is bound to; false
// for any other socket.
func boundInterface(fd int) (link string, ok bool) {
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil || domain != unix.AF_PACKET {
		return "", false
	}
	sa, err := unix.Getsockname(fd)
	ll, is := sa.(*unix.SockaddrLinklayer)
	if err != nil || !is {
		return "", false
	}
	iface, err := net.InterfaceByIndex(ll.Ifindex)
	if err != nil {
		return "", false
	}
	return iface.Name, true
}

// Move returns the queues as another Queues, and leaves q empty.
func (q *Queues) Move() *Queues {
	q.mu.Lock()
	defer q.mu.Unlock()
	moved := &Queues{all: q.all}
	q.all = nil
	return moved
}

// Shut keeps frames that arrive from now on out of the queues, except for those
// that resolve neighbours' addresses: a stopped sandbox may need an address for
// a reset. A queue that can't be shut stays open, and its frames arrive twice.
func (q *Queues) Shut() error {
	if q == nil {
		return nil
	}
	filter := neighboursOnly()
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	q.mu.Lock()
	defer q.mu.Unlock()
	var errs []error
	for _, one := range q.all {
		if err := unix.SetsockoptSockFprog(one.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &prog); err != nil {
			errs = append(errs, fmt.Errorf("shut the receive queue at %s: %w", one.link, err))
		}
	}
	return errors.Join(errs...)
}

// neighboursOnly is a packet filter that lets ARP and ICMPv6 pass.
func neighboursOnly() []unix.SockFilter {
	const (
		etherType  = 12
		nextHeader = 20 // of IPv6, behind an Ethernet header
		all        = 1 << 18
	)
	return []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: etherType},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.ETH_P_ARP, Jt: 3},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.ETH_P_IPV6, Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: nextHeader},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.IPPROTO_ICMPV6, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: all},
		{Code: unix.BPF_RET | unix.BPF_K},
	}
}

// Unread takes the frames out of the queues and returns them by interface,
// encoded as package wire has it, at most wire.MaxFrames bytes for each
// interface. A frame that exceeds that is lost, and those behind it stay queued.
func (q *Queues) Unread() map[string][]byte {
	if q == nil {
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	frames := make(map[string][]byte)
	for _, one := range q.all {
		if b := readFrames(one.fd, frames[one.link]); len(b) > 0 {
			frames[one.link] = b
		}
	}
	return frames
}

// maxFrame bounds a frame with its header of segmentation offload, in bytes.
const maxFrame = 1 << 17

// vnetHeader is the size of the header before each frame where the sandbox has
// the host's segmentation offload, in bytes.
const vnetHeader = 10

// readFrames appends the frames of a socket to all, as far as they fit.
func readFrames(fd int, all []byte) []byte {
	before := 0
	if on, err := unix.GetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR); err == nil && on != 0 {
		before = vnetHeader
	}
	for frame := make([]byte, maxFrame); ; {
		n, _, err := unix.Recvfrom(fd, frame, unix.MSG_DONTWAIT|unix.MSG_TRUNC)
		if err != nil || n+wire.FrameOverhead > wire.MaxFrames-len(all) {
			return all
		}
		if before <= n && n <= len(frame) {
			all = wire.AppendFrame(all, frame[before:n])
		}
	}
}

// Close closes the duplicates, in the background: the kernel waits for every
// thread that is in a socket.
func (q *Queues) Close() {
	if q == nil {
		return
	}
	for _, one := range q.Move().all {
		go unix.Close(one.fd)
	}
}
