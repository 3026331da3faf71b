package tcpreset

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/loopback"
	"gvisor.dev/gvisor/pkg/tcpip/link/pipe"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"runsc-recover/test/expect"
)

const (
	outside tcpip.NICID = 1
	lo      tcpip.NICID = 2
)

var (
	ours   = tcpip.AddrFrom4([4]byte{10, 0, 0, 1})
	theirs = tcpip.AddrFrom4([4]byte{10, 0, 0, 2})
	local  = tcpip.AddrFrom4([4]byte{127, 0, 0, 1})
)

func newStack(t *testing.T, link stack.LinkEndpoint, address tcpip.Address) *stack.Stack {
	t.Helper()
	st := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol},
	})
	t.Cleanup(st.Destroy)
	for id, nic := range map[tcpip.NICID]struct {
		link    stack.LinkEndpoint
		address tcpip.Address
	}{outside: {link, address}, lo: {loopback.New(), local}} {
		if err := st.CreateNIC(id, nic.link); err != nil {
			t.Fatal(err)
		}
		if err := st.AddProtocolAddress(id, tcpip.ProtocolAddress{
			Protocol:          ipv4.ProtocolNumber,
			AddressWithPrefix: tcpip.AddressWithPrefix{Address: nic.address, PrefixLen: 24},
		}, stack.AddressProperties{}); err != nil {
			t.Fatal(err)
		}
	}
	st.SetRouteTable([]tcpip.Route{
		{Destination: header.IPv4LoopbackSubnet, NIC: lo},
		{Destination: header.IPv4EmptySubnet, NIC: outside},
	})
	return st
}

// connect returns both ends of a connection from one stack to another.
func connect(t *testing.T, from, to *stack.Stack, address tcpip.Address, port uint16) (dialled, accepted net.Conn) {
	t.Helper()
	at := tcpip.FullAddress{Addr: address, Port: port}
	l, err := gonet.ListenTCP(to, at, ipv4.ProtocolNumber)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if dialled, err = gonet.DialTCP(from, at, ipv4.ProtocolNumber); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dialled.Close() })
	if accepted, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { accepted.Close() })
	return dialled, accepted
}

// say carries a byte from one end to the other and back.
func say(t *testing.T, one, other net.Conn) {
	t.Helper()
	for _, c := range [][2]net.Conn{{one, other}, {other, one}} {
		if _, err := c[0].Write([]byte{1}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c[1], make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
}

// settle returns once the stacks have acknowledged all that they received: a
// pause waits for their workers.
func settle(stacks ...*stack.Stack) {
	for range 2 {
		for _, st := range stacks {
			st.Pause()
			st.Resume()
		}
	}
}

func decoded(t *testing.T, cs []Connection) Set {
	t.Helper()
	s, err := Decode(Encode(cs))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestStaleConnectionsAreReset: of two connections the one that carried data
// since the list was made is reset, and its peer hears of that.
func TestStaleConnectionsAreReset(t *testing.T) {
	one, other := pipe.New("\x02\x00\x00\x00\x00\x01", "\x02\x00\x00\x00\x00\x02", 1500)
	here, there := newStack(t, one, ours), newStack(t, other, theirs)
	quiet, quietPeer := connect(t, here, there, theirs, 7001)
	busy, busyPeer := connect(t, here, there, theirs, 7002)
	inside, insidePeer := connect(t, here, here, local, 7003)
	for _, c := range [][2]net.Conn{{quiet, quietPeer}, {busy, busyPeer}, {inside, insidePeer}} {
		say(t, c[0], c[1])
	}
	settle(here, there)
	known := decoded(t, List(here))
	expect.Equal(t, "connections that reach outside", len(known), 2)
	expect.Equal(t, "stale ones at once", len(TouchedSince(here, known).Connections), 0)

	say(t, busy, busyPeer)
	say(t, inside, insidePeer)
	stale := TouchedSince(here, known)
	if len(stale.Connections) != 1 || int(stale.Connections[0].LocalPort) != busy.LocalAddr().(*net.TCPAddr).Port {
		t.Fatalf("stale: %+v", stale.Connections)
	}
	expect.Equal(t, "those that are listed", len(Listed(here, decoded(t, stale.Connections)).Connections), 1)
	expect.Equal(t, "those that weren't known", len(TouchedSince(here, Set{}).Connections), 2)

	stale.Reset()
	if _, err := busyPeer.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) && !isReset(err) {
		t.Errorf("the peer of a connection that was reset reads %v", err)
	}
	say(t, quiet, quietPeer)
	say(t, inside, insidePeer)
	expect.Equal(t, "connections in the end", len(List(here)), 1)
}

// isReset reports whether err is the stack's own for a connection reset by its
// peer.
func isReset(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Err.Error() == (&tcpip.ErrConnectionReset{}).String()
}

func TestNoStackHasNoConnections(t *testing.T) {
	if cs := List(nil); cs != nil {
		t.Errorf("%+v are listed", cs)
	}
	TouchedSince(nil, Set{}).Reset()
}
