// Package vethtest gives tests a network namespace of their own with a virtual
// cable in it, and sockets on both of its ends.
//
// It must not know the packages that are tested. It has no locks; Run starts
// one goroutine, whose thread ends with it, and the namespace with the thread.
package vethtest

import (
	"fmt"
	"runtime"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The interfaces at the ends of the cable.
const (
	Near = "near"
	Far  = "far"
)

// Run runs f on a thread in a network namespace that has the cable. An error of
// f fails the test; without root the test is skipped.
func Run(t *testing.T, f func() error) {
	t.Helper()
	if unix.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the namespace ends with the thread
		done <- run(f)
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func run(f func() error) error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("make a network namespace: %w", err)
	}
	if err := pinToOneCPU(); err != nil {
		return err
	}
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: Near, Flags: unix.IFF_UP}, PeerName: Far}
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("make a cable: %w", err)
	}
	for _, name := range []string{Near, Far} {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		if err := netlink.LinkSetUp(link); err != nil {
			return err
		}
	}
	return f()
}

// pinToOneCPU keeps the thread on one processor: frames sent on different ones
// overtake each other.
func pinToOneCPU() error {
	var allowed, first unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return err
	}
	for i := 0; first.Count() == 0; i++ {
		if allowed.IsSet(i) {
			first.Set(i)
		}
	}
	return unix.SchedSetaffinity(0, &first)
}

// Open opens a packet socket on an end of the cable, which is closed with the
// test, and calls prepare with it before it is bound.
//
// Preconditions: the caller runs in Run.
func Open(t *testing.T, end string, prepare ...func(fd int) error) (int, error) {
	link, err := netlink.LinkByName(end)
	if err != nil {
		return 0, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	t.Cleanup(func() { unix.Close(fd) })
	for _, f := range prepare {
		if err := f(fd); err != nil {
			return 0, err
		}
	}
	const allProtocols = unix.ETH_P_ALL>>8 | unix.ETH_P_ALL&0xff<<8
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: allProtocols, Ifindex: link.Attrs().Index}); err != nil {
		return 0, err
	}
	return fd, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 10})
}

// Prefix begins the frames of Frame: their addresses.
const Prefix = "\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01"

// Frame is an Ethernet frame of a type that no protocol has.
func Frame(text string) []byte {
	return fmt.Appendf([]byte(Prefix+"\x88\xb5"), "%-50s", text)
}

// ReadUntil reads frames until one is the wanted frame.
func ReadUntil(fd int, wanted []byte, flags int) error {
	for buf := make([]byte, 2048); ; {
		n, _, err := unix.Recvfrom(fd, buf, flags)
		if err != nil || slices.Equal(buf[:n], wanted) {
			return err
		}
	}
}

// Settle waits until frames pass both ways between sockets on the two ends: an
// interface that has just come up drops frames until the kernel has noticed.
func Settle(near, far int) error {
	for i, way := range [][2]int{{near, far}, {far, near}} {
		probe := Frame(fmt.Sprint("probe ", i))
		for tries := 0; ; tries++ {
			if _, err := unix.Write(way[0], probe); err != nil && err != unix.ENOBUFS && err != unix.ENETDOWN {
				return fmt.Errorf("send: %w", err)
			}
			if _, err := unix.Poll([]unix.PollFd{{Fd: int32(way[1]), Events: unix.POLLIN}}, 50); err != nil {
				return err
			}
			err := ReadUntil(way[1], probe, unix.MSG_DONTWAIT)
			if err == nil {
				break
			}
			if err != unix.EAGAIN || tries == 200 {
				return fmt.Errorf("frames don't pass: %w", err)
			}
		}
	}
	return nil
}
