package runsc

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"slices"
	"testing"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"gvisor.dev/gvisor/runsc/boot"

	"runsc-recover/sentry/wire"
)

// The two ends of a cable.
const (
	nearEnd = "near"
	farEnd  = "far"
)

// onWire runs f on a thread in a network namespace of its own that has the two
// ends.
func onWire(t *testing.T, f func() error) {
	t.Helper()
	if unix.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the namespace ends with the thread
		done <- func() error {
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("make a network namespace: %w", err)
			}
			if err := oneCPU(); err != nil {
				return err
			}
			veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: nearEnd, Flags: unix.IFF_UP}, PeerName: farEnd}
			if err := netlink.LinkAdd(veth); err != nil {
				return fmt.Errorf("make a cable: %w", err)
			}
			for _, name := range []string{nearEnd, farEnd} {
				link, err := netlink.LinkByName(name)
				if err != nil {
					return err
				}
				if err := netlink.LinkSetUp(link); err != nil {
					return err
				}
			}
			return f()
		}()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// oneCPU keeps the thread on one processor: frames sent on different ones
// overtake each other.
func oneCPU() error {
	var may, first unix.CPUSet
	if err := unix.SchedGetaffinity(0, &may); err != nil {
		return err
	}
	for i := 0; first.Count() == 0; i++ {
		if may.IsSet(i) {
			first.Set(i)
		}
	}
	return unix.SchedSetaffinity(0, &first)
}

// socketOn opens a packet socket on an end, as for a copy.
func socketOn(t *testing.T, end string, quiet *silence) (int, error) {
	f, err := linkSocket(boot.FDBasedLink{Name: end}, quiet)
	if err != nil {
		return 0, err
	}
	t.Cleanup(func() { f.Close() })
	fd := int(f.Fd())
	return fd, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 10})
}

// frame is an Ethernet frame of a type that no protocol has.
func frame(text string) []byte {
	return fmt.Appendf([]byte("\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01\x88\xb5"), "%-50s", text)
}

// arrives reports whether a frame sent on one socket comes to another one. What
// has not come is known by a second frame, sent afterwards over a pair of
// sockets that nothing is wrong with. The text is one that wasn't sent before.
func arrives(text string, from, to int, then [2]int) (bool, error) {
	tested, after := frame(text), frame("after "+text)
	if _, err := unix.Write(from, tested); err != nil && err != unix.ENOBUFS {
		return false, fmt.Errorf("send: %w", err)
	}
	if _, err := unix.Write(then[0], after); err != nil {
		return false, fmt.Errorf("send: %w", err)
	}
	if err := readUntil(then[1], after, 0); err != nil {
		return false, fmt.Errorf("the frame that shows that frames arrive: %w", err)
	}
	err := readUntil(to, tested, unix.MSG_DONTWAIT)
	if err == unix.EAGAIN {
		return false, nil
	}
	return err == nil, err
}

func readUntil(fd int, wanted []byte, flags int) error {
	for buf := make([]byte, 2048); ; {
		n, _, err := unix.Recvfrom(fd, buf, flags)
		if err != nil || slices.Equal(buf[:n], wanted) {
			return err
		}
	}
}

// settle waits until frames pass both ways: an interface that has just come up
// drops what is sent until the kernel has noticed.
func settle(near, far int) error {
	poll := func(fd int) error {
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 50)
		return err
	}
	for i, way := range [][2]int{{near, far}, {far, near}} {
		probe := frame(fmt.Sprint("probe ", i))
		for tries := 0; ; tries++ {
			if _, err := unix.Write(way[0], probe); err != nil && err != unix.ENOBUFS && err != unix.ENETDOWN {
				return fmt.Errorf("send: %w", err)
			}
			if err := poll(way[1]); err != nil {
				return err
			}
			err := readUntil(way[1], probe, unix.MSG_DONTWAIT)
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

// Each half of the silence is needed: without the filter a silent socket
// hears, without the mark or the rule it speaks.
func TestSilence(t *testing.T) {
	for _, c := range []struct {
		name          string
		undo          func(s *silence, fd int) error
		hears, speaks bool
	}{
		{name: "whole", undo: func(*silence, int) error { return nil }},
		{name: "without the filter", hears: true, undo: func(_ *silence, fd int) error {
			return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
		}},
		{name: "without the mark", speaks: true, undo: func(_ *silence, fd int) error {
			return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, 0)
		}},
		{name: "without the rule", speaks: true, undo: func(s *silence, _ int) error {
			s.rule.remove()
			return nil
		}},
		{name: "lifted", hears: true, speaks: true, undo: func(s *silence, _ int) error { return s.lift() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			onWire(t, func() error {
				rule, err := dropEgress("test", silentMark, []string{nearEnd})
				if err != nil {
					return err
				}
				quiet := &silence{rule: rule}
				defer quiet.end()
				var fds [4]int
				for i, end := range []string{nearEnd, nearEnd, farEnd, farEnd} {
					var s *silence
					if i == 0 {
						s = quiet
					}
					if fds[i], err = socketOn(t, end, s); err != nil {
						return err
					}
				}
				silent, near, far, farther := fds[0], fds[1], fds[2], fds[3]
				if err := settle(near, far); err != nil {
					return err
				}
				if err := c.undo(quiet, silent); err != nil {
					return err
				}
				hears, err := arrives("in", far, silent, [2]int{far, near})
				if err != nil {
					return err
				}
				speaks, err := arrives("out", silent, far, [2]int{near, farther})
				if err != nil {
					return err
				}
				if hears != c.hears || speaks != c.speaks {
					t.Errorf("it hears: %t, it speaks: %t; want %t, %t", hears, speaks, c.hears, c.speaks)
				}
				return nil
			})
		})
	}
}

// What a sandbox hasn't read is read once, and nothing that arrives once its
// ears are covered, except for what tells addresses.
func TestEars(t *testing.T) {
	onWire(t, func() error {
		witness, err := socketOn(t, nearEnd, nil) // the kernel serves it last
		if err != nil {
			return err
		}
		near, err := socketOn(t, nearEnd, nil)
		if err != nil {
			return err
		}
		far, err := socketOn(t, farEnd, nil)
		if err != nil {
			return err
		}
		if err := settle(near, far); err != nil {
			return err
		}
		var found, added ears
		defer found.close()
		defer added.close()
		if err := added.add(nearEnd, near); err != nil {
			return err
		}
		send := func(f []byte) error {
			if _, err := unix.Write(far, f); err != nil {
				return err
			}
			return readUntil(witness, f, 0)
		}
		if err := send(frame("arrives")); err != nil {
			return err
		}
		heard(t, &added, frame("arrives"))
		heard(t, &added)
		if err := found.find(os.Getpid()); err != nil {
			return err
		}
		if n := len(found.all); n < 4 {
			t.Errorf("%d of the process's sockets were found", n)
		}

		added.cover()
		arp := frame("arp")
		arp[12], arp[13] = 0x08, 0x06
		for _, f := range [][]byte{frame("late"), arp} {
			if err := send(f); err != nil {
				return err
			}
		}
		heard(t, &added, arp)

		var m missed
		m.keep(found.move())
		heard(t, &found)
		kept := m.take()
		if kept == nil || m.take() != nil {
			t.Error("it isn't kept for the first who takes it")
		}
		kept.close()
		return nil
	})
}

// heard checks what of the test's frames at the near end wasn't read.
func heard(t *testing.T, e *ears, want ...[]byte) {
	t.Helper()
	got, err := wire.DecodeFrames(e.unread()[nearEnd])
	if err != nil {
		t.Fatal(err)
	}
	got = slices.DeleteFunc(got, unlike(frame("")))
	if !slices.EqualFunc(got, want, bytes.Equal) {
		t.Errorf("heard %q, want %q", got, want)
	}
}

// unlike tells frames of the test's from those of the kernel's own.
func unlike(f []byte) func([]byte) bool {
	return func(other []byte) bool { return !bytes.HasPrefix(other, f[:12]) }
}

// The rule goes with the connection that made it, as it would with the process.
func TestEgressRuleEndsWithItsConnection(t *testing.T) {
	onWire(t, func() error {
		rule, err := dropEgress("test", silentMark, []string{nearEnd})
		if err != nil {
			return err
		}
		for _, want := range []int{1, 0} {
			conn, err := nftables.New()
			if err != nil {
				return err
			}
			tables, err := conn.ListTablesOfFamily(nftables.TableFamilyNetdev)
			if err != nil {
				return err
			}
			if len(tables) != want {
				t.Errorf("%d tables, want %d", len(tables), want)
			}
			rule.remove()
		}
		return nil
	})
}
