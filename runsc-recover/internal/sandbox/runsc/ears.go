package runsc

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"gvisor.dev/gvisor/pkg/log"

	"runsc-recover/sentry/wire"
)

// ears are the packet sockets of a sandbox: duplicates, which outlive it. What
// it hasn't read when it stops, or dies, is read from them for its copy, since
// whoever connects meanwhile would wait for a second before trying again. Nil
// ears hear nothing.
type ears struct {
	mu sync.Mutex
	// all is guarded by mu.
	all []ear
}

// ear isn't an os.File, which would make the sandbox's socket blocking.
type ear struct {
	link string // the interface
	fd   int
}

// add adds a socket, which stays the caller's.
func (e *ears) add(link string, fd int) error {
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("duplicate packet socket: %w", err)
	}
	e.adopt(link, dup)
	return nil
}

// adopt takes ownership of fd.
func (e *ears) adopt(link string, fd int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, ear{link, fd})
}

// find adds those of the process, which gVisor has made. The caller is in their
// network namespace.
func (e *ears) find(pid int) error {
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
		what, _ := os.Readlink(filepath.Join(dir, entry.Name())) // it may be closed by now
		n, err := strconv.Atoi(entry.Name())
		if err != nil || !strings.HasPrefix(what, "socket:") {
			continue
		}
		fd, err := unix.PidfdGetfd(pidfd, n, 0)
		if err != nil {
			return fmt.Errorf("duplicate the sandbox's socket: %w", err)
		}
		if link, ok := packetSocketOn(fd); ok {
			e.adopt(link, fd)
		} else {
			unix.Close(fd)
		}
	}
	return nil
}

// packetSocketOn returns the interface that a packet socket is bound to. What
// else a sandbox has is no concern of ours.
func packetSocketOn(fd int) (link string, ok bool) {
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

// move returns the ears and leaves none.
func (e *ears) move() *ears {
	e.mu.Lock()
	defer e.mu.Unlock()
	moved := &ears{all: e.all}
	e.all = nil
	return moved
}

// cover keeps what arrives from now on from the sockets, except for what tells
// neighbours' addresses: a stopped sandbox may need one for a reset.
func (e *ears) cover() {
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ear := range e.all {
		if err := attachFilter(ear.fd, neighboursOnly()); err != nil {
			log.Warningf("recover: what arrives at %s is heard twice: %v", ear.link, err)
		}
	}
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

// unread returns what the sandbox hasn't read, by interface, encoded as frames.
func (e *ears) unread() map[string][]byte {
	if e == nil {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	frames := make(map[string][]byte)
	for _, ear := range e.all {
		if b := readFrames(ear.fd, frames[ear.link]); len(b) > 0 {
			frames[ear.link] = b
		}
	}
	return frames
}

// readFrames appends what is there, as far as it fits.
func readFrames(fd int, all []byte) []byte {
	before := 0
	if on, err := unix.GetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR); err == nil && on != 0 {
		before = vnetHeader
	}
	for frame := make([]byte, 1<<17); ; {
		n, _, err := unix.Recvfrom(fd, frame, unix.MSG_DONTWAIT|unix.MSG_TRUNC)
		if err != nil || n+wire.FrameOverhead > wire.MaxFrames-len(all) {
			return all
		}
		if before <= n && n <= len(frame) {
			all = wire.AppendFrame(all, frame[before:n])
		}
	}
}

// vnetHeader is the size of what comes before a frame where the sandbox has the
// host's segmentation offload.
const vnetHeader = 10

// close closes the ears. The kernel waits for all who may be in a socket.
func (e *ears) close() {
	if e == nil {
		return
	}
	for _, ear := range e.move().all {
		go unix.Close(ear.fd)
	}
}

// missed are the ears of a sandbox of the container's that died.
type missed struct {
	mu   sync.Mutex
	ears *ears // guarded by mu; nil for none
}

// keep takes ownership of e.
func (m *missed) keep(e *ears) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ears.close()
	m.ears = e
}

// take gives ownership of what is kept to the caller.
func (m *missed) take() *ears {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.ears
	m.ears = nil
	return e
}

// drop forgets what is kept: a sandbox has heard it all, or nobody ever will.
func (m *missed) drop() { m.take().close() }
