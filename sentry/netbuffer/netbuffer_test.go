package netbuffer

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"

	"runsc-recover/sentry/wire"
	"runsc-recover/test/expect"
)

const (
	nicID = 1
	link  = "eth0"
	mac   = tcpip.LinkAddress("\x02\x00\x00\x00\x00\x01")
	port  = 7000
)

var (
	ours   = tcpip.AddrFrom4([4]byte{10, 0, 0, 1})
	theirs = tcpip.AddrFrom4([4]byte{10, 0, 0, 2})
)

// host is a stack with an interface and a UDP socket on port.
type host struct {
	t   *testing.T
	st  *stack.Stack
	nic *channel.Endpoint
	ep  tcpip.Endpoint
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{t: t, nic: channel.New(64, 1500, mac)}
	h.st = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{arp.NewProtocol, ipv4.NewProtocol, ipv6.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol},
	})
	t.Cleanup(h.st.Destroy)
	h.check(h.st.CreateNICWithOptions(nicID, ethernet.New(h.nic), stack.NICOptions{Name: link}))
	h.check(h.st.AddProtocolAddress(nicID, tcpip.ProtocolAddress{
		Protocol:          ipv4.ProtocolNumber,
		AddressWithPrefix: tcpip.AddressWithPrefix{Address: ours, PrefixLen: 24},
	}, stack.AddressProperties{}))
	h.st.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nicID}})
	h.check(h.st.AddStaticNeighbor(nicID, ipv4.ProtocolNumber, theirs, "\x02\x00\x00\x00\x00\x02"))
	var err tcpip.Error
	h.ep, err = h.st.NewEndpoint(udp.ProtocolNumber, ipv4.ProtocolNumber, new(waiter.Queue))
	h.check(err)
	t.Cleanup(h.ep.Close)
	h.check(h.ep.Bind(tcpip.FullAddress{Port: port}))
	return h
}

func (h *host) check(err tcpip.Error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// arrives lets a datagram arrive.
func (h *host) arrives(text string) {
	h.t.Helper()
	frame := append([]byte(mac+"\x02\x00\x00\x00\x00\x02\x08\x00"), datagram(text)...)
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(frame)})
	defer pkt.DecRef()
	h.nic.InjectInbound(0, pkt)
}

// datagram is one from their port to ours, in an IP packet.
func datagram(text string) []byte {
	b := make([]byte, header.IPv4MinimumSize+header.UDPMinimumSize+len(text))
	copy(b[header.IPv4MinimumSize+header.UDPMinimumSize:], text)
	ip := header.IPv4(b)
	ip.Encode(&header.IPv4Fields{TotalLength: uint16(len(b)), TTL: 64, Protocol: uint8(udp.ProtocolNumber), SrcAddr: theirs, DstAddr: ours})
	ip.SetChecksum(^ip.CalculateChecksum())
	u := header.UDP(ip.Payload())
	u.Encode(&header.UDPFields{SrcPort: port, DstPort: port, Length: uint16(len(u))})
	sum := header.PseudoHeaderChecksum(udp.ProtocolNumber, theirs, ours, uint16(len(u)))
	u.SetChecksum(^u.CalculateChecksum(checksum.Checksum([]byte(text), sum)))
	return b
}

// heard returns the packets that the socket has received since.
func (h *host) heard() []string {
	h.t.Helper()
	var all []string
	for {
		var b bytes.Buffer
		_, err := h.ep.Read(&b, tcpip.ReadOptions{})
		if _, none := err.(*tcpip.ErrWouldBlock); none {
			return all
		}
		h.check(err)
		all = append(all, b.String())
	}
}

func (h *host) hears(want ...string) {
	h.t.Helper()
	if got := h.heard(); fmt.Sprint(got) != fmt.Sprint(want) {
		h.t.Errorf("heard %q, want %q", got, want)
	}
}

// sends reports whether a datagram leaves the stack.
func (h *host) sends() bool {
	h.t.Helper()
	_, err := h.ep.Write(bytes.NewReader([]byte("hi")), tcpip.WriteOptions{To: &tcpip.FullAddress{Addr: theirs, Port: port}})
	h.check(err)
	return h.left()
}

// left reports whether a packet has left the stack.
func (h *host) left() bool {
	pkt := h.nic.Read()
	if pkt == nil {
		return false
	}
	pkt.DecRef()
	return true
}

func TestHeldPacketsComeInAtRelease(t *testing.T) {
	h := newHost(t)
	b := New(h.st)
	h.arrives("before")
	h.hears("before")
	b.Hold()
	h.arrives("one")
	h.arrives("two")
	h.hears()
	if !h.sends() {
		t.Error("nothing is sent while what arrives is held")
	}
	b.Release()
	h.arrives("three")
	h.hears("one", "two", "three")
	if h.st.NFTables() != nil {
		t.Error("an open buffer is still asked about packets")
	}
}

func TestPacketsAfterHoldForCopyAreTheCopys(t *testing.T) {
	h, copied := newHost(t), newHost(t)
	b := New(h.st)
	b.Hold()
	h.arrives("one")
	b.HoldForCopy()
	b.Release()
	h.arrives("two")
	h.hears()
	if err := Deliver(copied.st, link, b.Take(link), nil); err != nil {
		t.Fatal(err)
	}
	copied.hears("one", "two")

	h.arrives("three")
	b.Reopen() // the sandbox stays after all
	h.arrives("four")
	h.hears("three", "four")
}

func TestSilentStackSendsNothing(t *testing.T) {
	h := newHost(t)
	b := New(h.st)
	b.HoldForCopy()
	if !h.sends() {
		t.Error("nothing is sent before the stop")
	}
	b.Silence()
	if h.sends() {
		t.Error("a stopped stack sends")
	}
	reset := func() bool {
		t.Helper()
		r, err := h.st.FindRoute(nicID, ours, theirs, ipv4.ProtocolNumber, false)
		h.check(err)
		defer r.Release()
		pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{ReserveHeaderBytes: header.TCPMinimumSize + int(r.MaxHeaderLength())})
		defer pkt.DecRef()
		pkt.TransportProtocolNumber = tcp.ProtocolNumber
		header.TCP(pkt.TransportHeader().Push(header.TCPMinimumSize)).Encode(&header.TCPFields{
			SrcPort: port, DstPort: port, DataOffset: header.TCPMinimumSize, Flags: header.TCPFlagRst,
		})
		h.check(r.WritePacket(stack.NetworkHeaderParams{Protocol: tcp.ProtocolNumber, TTL: 64}, pkt))
		return h.left()
	}
	if reset() {
		t.Error("a stopped stack resets")
	}
	b.AllowResets()
	if h.sends() || !reset() {
		t.Error("a stack that parts sends resets, and nothing else")
	}
	b.Reopen()
	if !h.sends() {
		t.Error("nothing is sent after all")
	}
}

func TestKeptPacketsAreBounded(t *testing.T) {
	h := newHost(t)
	b := New(h.st)
	b.HoldForCopy()
	text := string(make([]byte, 1400))
	for range wire.MaxFrames/len(text) + 10 {
		h.arrives(text)
	}
	kept := b.Take(link)
	if n := len(kept); n > wire.MaxFrames || n < wire.MaxFrames-2*len(text) {
		t.Errorf("%d bytes are kept", n)
	}
	if _, err := wire.DecodeFrames(kept); err != nil {
		t.Error(err)
	}
}

func TestDeliverRefuses(t *testing.T) {
	h := newHost(t)
	if err := Deliver(h.st, "eth7", nil, nil); !errors.Is(err, ErrNoInterface) {
		t.Errorf("an interface that isn't there: %v", err)
	}
	if err := Deliver(h.st, link, []byte{1}, nil); !errors.Is(err, wire.ErrMalformed) {
		t.Errorf("half a frame: %v", err)
	}
	// Too short for Ethernet, and for another host.
	other := append([]byte("\x02\x00\x00\x00\x00\x09\x02\x00\x00\x00\x00\x02\x08\x00"), datagram("no")...)
	kept := wire.AppendFrame(wire.AppendFrame(nil, []byte("short")), other)
	if err := Deliver(h.st, link, kept, nil); err != nil {
		t.Error(err)
	}
	h.hears()
}

func TestNoStackNoBuffer(t *testing.T) {
	var b *Buffer
	b.Hold()
	b.HoldForCopy()
	b.Silence()
	b.AllowResets()
	b.Reopen()
	b.Release()
	if b.Take(link) != nil {
		t.Error("something was kept")
	}
}

// TestNeighbourDiscovery: the messages of ICMPv6 by which neighbours are found
// pass, whether the stack has parsed them or not; all other packets are kept.
func TestNeighbourDiscovery(t *testing.T) {
	message := func(typ header.ICMPv6Type) []byte {
		h := header.ICMPv6(make([]byte, header.ICMPv6MinimumSize))
		h.SetType(typ)
		return h
	}
	for _, c := range []struct {
		name     string
		protocol tcpip.TransportProtocolNumber
		bytes    []byte
		want     bool
	}{
		{"router solicitation", header.ICMPv6ProtocolNumber, message(header.ICMPv6RouterSolicit), true},
		{"neighbour solicitation", header.ICMPv6ProtocolNumber, message(header.ICMPv6NeighborSolicit), true},
		{"redirect", header.ICMPv6ProtocolNumber, message(header.ICMPv6RedirectMsg), true},
		{"echo request", header.ICMPv6ProtocolNumber, message(header.ICMPv6EchoRequest), false},
		{"the message after the last", header.ICMPv6ProtocolNumber, message(header.ICMPv6RedirectMsg + 1), false},
		{"a message that is cut", header.ICMPv6ProtocolNumber, message(header.ICMPv6RouterSolicit)[:3], false},
		{"no message at all", header.ICMPv6ProtocolNumber, nil, false},
		{"UDP", udp.ProtocolNumber, message(header.ICMPv6RouterSolicit), false},
	} {
		for _, parsed := range []bool{false, true} {
			pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(slices.Clone(c.bytes))})
			pkt.TransportProtocolNumber = c.protocol
			if parsed {
				pkt.TransportHeader().Consume(len(c.bytes))
			}
			expect.Equal(t, fmt.Sprintf("%s, parsed %v", c.name, parsed), findsNeighbours(pkt), c.want)
			pkt.DecRef()
		}
	}
}
