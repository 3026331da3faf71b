package rxqueue

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"runsc-recover/runsc-recover/internal/sandbox/vethtest"
	"runsc-recover/sentry/wire"
)

// cable is sockets on the ends of a cable. Frames arrive at the near end in the
// order of its sockets, the witness last.
type cable struct{ near, far, witness int }

func openCable(t *testing.T) (c cable, err error) {
	// The kernel serves the socket last that was opened first.
	for _, s := range []struct {
		fd  *int
		end string
	}{{&c.witness, vethtest.Near}, {&c.near, vethtest.Near}, {&c.far, vethtest.Far}} {
		if *s.fd, err = vethtest.Open(t, s.end); err != nil {
			return c, err
		}
	}
	return c, vethtest.Settle(c.near, c.far)
}

// send sends frames to the near end and returns once all have arrived.
func (c cable) send(frames ...[]byte) error {
	for _, f := range frames {
		if _, err := unix.Write(c.far, f); err != nil {
			return err
		}
		if err := vethtest.ReadUntil(c.witness, f, 0); err != nil {
			return err
		}
	}
	return nil
}

// Frames that a sandbox hasn't read are read once, and none that arrive once
// its queues are shut, except for those that resolve addresses.
func TestQueues(t *testing.T) {
	vethtest.Run(t, func() error {
		c, err := openCable(t)
		if err != nil {
			return err
		}
		var q Queues
		defer q.Close()
		if err := q.Add(vethtest.Near, c.near); err != nil {
			return err
		}
		if err := c.send(vethtest.Frame("arrives")); err != nil {
			return err
		}
		expectUnread(t, &q, vethtest.Frame("arrives"))
		expectUnread(t, &q)

		if err := q.Shut(); err != nil {
			return err
		}
		arp, neighbour, other := frameOf(unix.ETH_P_ARP), frameOf(unix.ETH_P_IPV6), frameOf(unix.ETH_P_IPV6)
		neighbour[20], other[20] = unix.IPPROTO_ICMPV6, unix.IPPROTO_TCP
		short := []byte(vethtest.Prefix + "\x86\xdd")
		if err := c.send(vethtest.Frame("late"), arp, neighbour, other, short); err != nil {
			return err
		}
		expectUnread(t, &q, arp, neighbour)
		return nil
	})
}

// frameOf is a frame of an Ethernet type.
func frameOf(etherType uint16) []byte {
	f := vethtest.Frame("")
	f[12], f[13] = byte(etherType>>8), byte(etherType)
	return f
}

// The packet sockets of a process are found, and its other files are not taken
// for any.
func TestFind(t *testing.T) {
	vethtest.Run(t, func() error {
		if _, err := openCable(t); err != nil {
			return err
		}
		others, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(others[0])
		defer unix.Close(others[1])
		var q Queues
		defer q.Close()
		if err := q.Find(os.Getpid()); err != nil {
			return err
		}
		links := make(map[string]int)
		for _, one := range q.all {
			links[one.link]++
		}
		// Sockets that tests before this one close in the background may count.
		if links[vethtest.Near] < 2 || links[vethtest.Far] < 1 || len(links) != 2 {
			t.Errorf("found %v", links)
		}
		return nil
	})
	var q Queues
	if err := q.Find(1 << 30); err == nil {
		t.Error("sockets of a process that isn't there")
	}
}

// More frames than a message may hold stay below its bound, and so does a frame
// of the largest size that a hostile peer can send.
func TestUnreadIsBounded(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	for _, opt := range []int{unix.SO_SNDBUFFORCE, unix.SO_RCVBUFFORCE} {
		for _, fd := range fds {
			if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, opt, 4*wire.MaxFrames); err != nil {
				t.Skip("large buffers need root")
			}
		}
	}
	q := &Queues{}
	q.adopt("eth0", fds[1])
	defer q.Close()
	for _, c := range []struct {
		name  string
		frame int // bytes
		want  int // frames
	}{
		{"none", 0, 0},
		{"the largest", maxFrame, 1},
		{"beyond the largest", maxFrame + 1, 0},
	} {
		if c.frame > 0 {
			if _, err := unix.Write(fds[0], make([]byte, c.frame)); err != nil {
				t.Fatal(err)
			}
		}
		frames, err := wire.DecodeFrames(q.Unread()["eth0"])
		if err != nil || len(frames) != c.want {
			t.Errorf("%s: %d frames, %v", c.name, len(frames), err)
		}
	}
	frame := make([]byte, maxFrame)
	fits := wire.MaxFrames / (maxFrame + wire.FrameOverhead)
	for range fits + 3 {
		if _, err := unix.Write(fds[0], frame); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range []int{fits, 2, 0} { // the last packet is lost where the first answer is full
		frames, err := wire.DecodeFrames(q.Unread()["eth0"])
		if err != nil || len(frames) != want {
			t.Errorf("answer %d: %d frames, want %d, %v", i, len(frames), want, err)
		}
	}
}

// The header of segmentation offload isn't part of a frame, and a frame that is
// shorter than the header is dropped.
func TestOffloadHeaderIsCut(t *testing.T) {
	vethtest.Run(t, func() error {
		c, err := openCable(t)
		if err != nil {
			return err
		}
		fd, err := vethtest.Open(t, vethtest.Near, func(fd int) error {
			return unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1)
		})
		if err != nil {
			return err
		}
		var q Queues
		defer q.Close()
		if err := q.Add(vethtest.Near, fd); err != nil {
			return err
		}
		q.Unread()
		if err := c.send(vethtest.Frame("offloaded")); err != nil {
			return err
		}
		// The witness was opened before the socket, which is served ahead of it.
		expectUnread(t, &q, vethtest.Frame("offloaded"))
		return nil
	})
}

// The queues of a sandbox that died are kept for the first who takes them.
func TestKeeper(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	var q Queues
	q.adopt("eth0", fds[1])
	var k Keeper
	k.Drop()
	if k.Take() != nil {
		t.Error("an empty keeper keeps queues")
	}
	k.Keep(q.Move())
	if len(q.all) != 0 {
		t.Error("queues that were moved are still there")
	}
	if _, err := unix.Write(fds[0], []byte("frame")); err != nil {
		t.Fatal(err)
	}
	kept := k.Take()
	if got := string(kept.Unread()["eth0"]); !strings.HasSuffix(got, "frame") {
		t.Errorf("kept %q", got)
	}
	if k.Take() != nil {
		t.Error("queues are taken twice")
	}
	kept.Close()
	kept.Close()
	if kept.Unread()["eth0"] != nil {
		t.Error("closed queues have frames")
	}
}

// Nil stands for the queues of no sandbox.
func TestNilQueues(t *testing.T) {
	var q *Queues
	if err := q.Shut(); err != nil || q.Unread() != nil {
		t.Errorf("%v, %v", err, q.Unread())
	}
	q.Close()
}

// expectUnread checks which of the test's frames the near end hasn't read.
func expectUnread(t *testing.T, q *Queues, want ...[]byte) {
	t.Helper()
	got, err := wire.DecodeFrames(q.Unread()[vethtest.Near])
	if err != nil {
		t.Fatal(err)
	}
	// The kernel sends frames of its own.
	got = slices.DeleteFunc(got, func(f []byte) bool { return !bytes.HasPrefix(f, []byte(vethtest.Prefix)) })
	if !slices.EqualFunc(got, want, bytes.Equal) {
		t.Errorf("unread %q, want %q", got, want)
	}
}
