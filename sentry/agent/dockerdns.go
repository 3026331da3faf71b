package agent

import (
	"errors"
	"slices"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"runsc-recover/sentry/wire"
)

// Docker serves the names of a network's containers at 127.0.0.11, by packet
// filter rules of the container's namespace, which the sandbox's own stack
// bypasses. A program's query to that address matches no socket. The stack's
// handler for such packets, which is no part of a checkpoint, gives it to the
// supervisor, for which those rules hold. A query under way at a checkpoint is
// asked again by its program.

// maxQueries bounds how many queries wait. More are dropped, as by a network.
const maxQueries = 64

const resolverPort = 53

func resolverAddress() tcpip.Address { return tcpip.AddrFrom4([4]byte{127, 0, 0, 11}) }

var (
	errNoLoopback = errors.New("no loopback interface")
	errNoRoute    = errors.New("no route to the program")
)

// query queues a packet that no socket is there for, if it is a query, and
// reports whether it is one. It runs on the goroutine that sent the packet.
func (a *Agent) query(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
	if id.LocalPort != resolverPort || id.LocalAddress != resolverAddress() || id.RemoteAddress.Len() != header.IPv4AddressSize {
		return false
	}
	if pkt.Data().Size() > wire.MaxDatagram {
		return true
	}
	q := wire.Datagram{
		Address: slices.Clone(id.RemoteAddress.AsSlice()),
		Port:    id.RemotePort,
		Data:    pkt.Data().AsRange().ToSlice(),
	}
	select {
	case a.queries <- q:
	default:
	}
	return true
}

// sendQueries sends queries to the supervisor for as long as the process lives.
func (a *Agent) sendQueries() {
	for q := range a.queries {
		a.send(wire.Message{Query: &q})
	}
}

// answer serves VerbAnswer. saveMu keeps the network stack from being saved
// meanwhile. A sandbox that is stopped gets no answer: its copy asks again.
func (a *Agent) answer(d wire.Datagram) *wire.Error {
	a.saveMu.Lock()
	defer a.saveMu.Unlock()
	a.mu.Lock()
	k, failing := a.k, a.failing
	a.mu.Unlock()
	if k == nil || failing {
		return nil
	}
	st := netstackOf(k)
	if st == nil {
		return wireError(wire.CodeState, errNoLoopback)
	}
	if err := sendAnswer(st, d); err != nil {
		return wireError(wire.CodeState, err)
	}
	return nil
}

// sendAnswer sends a datagram as from the resolver.
func sendAnswer(st *stack.Stack, d wire.Datagram) error {
	for id, nic := range st.NICInfo() {
		if !nic.Flags.Loopback {
			continue
		}
		route, err := st.FindRoute(id, resolverAddress(), tcpip.AddrFromSlice(d.Address), header.IPv4ProtocolNumber, false)
		if err != nil {
			return errNoRoute
		}
		defer route.Release()
		pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{
			ReserveHeaderBytes: header.UDPMinimumSize + int(route.MaxHeaderLength()),
			Payload:            buffer.MakeWithData(d.Data),
		})
		defer pkt.DecRef()
		udp := header.UDP(pkt.TransportHeader().Push(header.UDPMinimumSize))
		pkt.TransportProtocolNumber = header.UDPProtocolNumber
		// The packet doesn't leave this process, and needs no checksum.
		udp.Encode(&header.UDPFields{SrcPort: resolverPort, DstPort: d.Port, Length: uint16(pkt.Size())})
		if err := route.WritePacket(stack.NetworkHeaderParams{Protocol: header.UDPProtocolNumber, TTL: 64}, pkt); err != nil {
			return errNoRoute
		}
		return nil
	}
	return errNoLoopback
}
