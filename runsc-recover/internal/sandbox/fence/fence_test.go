package fence

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"runsc-recover/runsc-recover/internal/sandbox/vethtest"
)

// passes reports whether a frame sent on one socket arrives at another. That it
// doesn't is known by a second frame, sent afterwards over a pair of sockets
// without a fence. No text is used twice.
func passes(text string, from, to int, then [2]int) (bool, error) {
	tested, after := vethtest.Frame(text), vethtest.Frame("after "+text)
	if _, err := unix.Write(from, tested); err != nil && err != unix.ENOBUFS {
		return false, fmt.Errorf("send: %w", err)
	}
	if _, err := unix.Write(then[0], after); err != nil {
		return false, fmt.Errorf("send: %w", err)
	}
	if err := vethtest.ReadUntil(then[1], after, 0); err != nil {
		return false, fmt.Errorf("the frame that shows that frames arrive: %w", err)
	}
	err := vethtest.ReadUntil(to, tested, unix.MSG_DONTWAIT)
	if err == unix.EAGAIN {
		return false, nil
	}
	return err == nil, err
}

// Each half of the fence is needed: without the filter a fenced socket
// receives, without the mark or the rule it sends.
func TestFence(t *testing.T) {
	for _, c := range []struct {
		name            string
		undo            func(f *Fence, fd int) error
		receives, sends bool
	}{
		{name: "whole", undo: func(*Fence, int) error { return nil }},
		{name: "without the filter", receives: true, undo: func(_ *Fence, fd int) error {
			return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
		}},
		{name: "without the mark", sends: true, undo: func(_ *Fence, fd int) error {
			return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, 0)
		}},
		{name: "without the rule", sends: true, undo: func(f *Fence, _ int) error { return f.rule.remove() }},
		{name: "removed", sends: true, undo: func(f *Fence, _ int) error { return f.Remove() }},
		{name: "lifted", receives: true, sends: true, undo: func(f *Fence, _ int) error { return f.Lift() }},
		{name: "lifted and removed", receives: true, sends: true, undo: func(f *Fence, _ int) error {
			if err := f.Lift(); err != nil {
				return err
			}
			return f.Remove()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			vethtest.Run(t, func() error {
				f, err := New("test", []string{vethtest.Near})
				if err != nil {
					return err
				}
				defer f.Remove()
				receives, sends, err := tryFence(t, f, c.undo)
				if err != nil {
					return err
				}
				if receives != c.receives || sends != c.sends {
					t.Errorf("receives: %t, sends: %t; want %t, %t", receives, sends, c.receives, c.sends)
				}
				return nil
			})
		})
	}
}

// The zero Fence keeps arriving frames out, and departing ones not.
func TestZeroFence(t *testing.T) {
	vethtest.Run(t, func() error {
		var f Fence
		receives, sends, err := tryFence(t, &f, func(*Fence, int) error { return nil })
		if err != nil {
			return err
		}
		if receives || !sends {
			t.Errorf("receives: %t, sends: %t", receives, sends)
		}
		return f.Remove()
	})
}

// tryFence opens a fenced socket, calls undo, and reports whether the socket
// receives and sends then.
func tryFence(t *testing.T, f *Fence, undo func(*Fence, int) error) (receives, sends bool, err error) {
	fenced, err := vethtest.Open(t, vethtest.Near, f.Add)
	if err != nil {
		return false, false, err
	}
	var fds [3]int
	for i, end := range []string{vethtest.Near, vethtest.Far, vethtest.Far} {
		if fds[i], err = vethtest.Open(t, end); err != nil {
			return false, false, err
		}
	}
	near, far, farther := fds[0], fds[1], fds[2]
	if err := vethtest.Settle(near, far); err != nil {
		return false, false, err
	}
	if err := undo(f, fenced); err != nil {
		return false, false, err
	}
	if receives, err = passes("in", far, fenced, [2]int{far, near}); err != nil {
		return false, false, err
	}
	sends, err = passes("out", fenced, far, [2]int{near, farther})
	return receives, sends, err
}

// The rule goes with the connection that made it, as it would with the process,
// and a fence that couldn't be made leaves none.
func TestRuleEndsWithItsConnection(t *testing.T) {
	vethtest.Run(t, func() error {
		f, err := New("test", []string{vethtest.Near})
		if err != nil {
			return err
		}
		if _, err := New("test", []string{vethtest.Near}); err == nil {
			t.Error("a second fence of the same name")
		}
		if _, err := New("other", []string{strings.Repeat("x", 64)}); err == nil {
			t.Error("a fence on a device that can't be")
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
			if err := f.Remove(); err != nil {
				return err
			}
		}
		return nil
	})
}

// A socket that is no socket any more can't be fenced, and is told apart.
func TestAddRefuses(t *testing.T) {
	f, err := unix.MemfdCreate("no socket", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(f)
	var zero Fence
	if err := zero.Add(f); err == nil {
		t.Error("a file was fenced")
	}
	if err := zero.Remove(); err != nil {
		t.Error(err)
	}
}
