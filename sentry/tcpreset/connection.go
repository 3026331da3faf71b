package tcpreset

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// Connection is a TCP connection and what it had carried. It is written to
// files as it stands, in little-endian.
type Connection struct {
	LocalAddr, RemoteAddr [16]byte // IPv4 in the first four bytes, the rest zero
	LocalPort, RemotePort uint16
	AddrLen               uint32 // 4 or 16
	Sent, Received        uint64 // segments
}

// identity is what tells connections apart.
type identity struct {
	local, remote [16]byte
	localPort     uint16
	remotePort    uint16
}

func (c Connection) id() identity {
	return identity{local: c.LocalAddr, remote: c.RemoteAddr, localPort: c.LocalPort, remotePort: c.RemotePort}
}

// maxConnections bounds what a file of connections may hold: more than there
// are ports on one address.
const maxConnections = 1 << 17

// external calls f with every TCP connection of a stack that reaches outside
// the sandbox.
func external(st *stack.Stack, f func(Connection, *tcp.Endpoint)) {
	if st == nil {
		return
	}
	for _, ep := range st.RegisteredEndpoints() {
		e, ok := ep.(*tcp.Endpoint)
		if !ok || !carriesData(e.EndpointState()) {
			continue
		}
		info, ok := e.Info().(*stack.TransportEndpointInfo)
		if !ok || header.IsV4LoopbackAddress(info.ID.RemoteAddress) || info.ID.RemoteAddress == header.IPv6Loopback ||
			info.ID.RemoteAddress == info.ID.LocalAddress {
			continue
		}
		f(connectionOf(info.ID, e.Stats().(*tcp.Stats)), e)
	}
}

func carriesData(s tcp.EndpointState) bool {
	switch s {
	case tcp.StateEstablished, tcp.StateFinWait1, tcp.StateFinWait2, tcp.StateCloseWait:
		return true
	}
	return false
}

func connectionOf(id stack.TransportEndpointID, stats *tcp.Stats) Connection {
	c := Connection{
		LocalPort:  id.LocalPort,
		RemotePort: id.RemotePort,
		AddrLen:    uint32(id.LocalAddress.Len()),
		Sent:       stats.SegmentsSent.Value(),
		Received:   stats.SegmentsReceived.Value(),
	}
	copy(c.LocalAddr[:], id.LocalAddress.AsSlice())
	copy(c.RemoteAddr[:], id.RemoteAddress.AsSlice())
	return c
}

// List returns the connections of a stack that reach outside the
// sandbox; none for a nil stack.
func List(st *stack.Stack) []Connection {
	var cs []Connection
	external(st, func(c Connection, _ *tcp.Endpoint) { cs = append(cs, c) })
	return cs
}

// Set is a list of connections as read from a file.
type Set map[identity]Connection

// untouched reports whether c carried nothing since the set was listed.
func (s Set) untouched(c Connection) bool {
	then, ok := s[c.id()]
	return ok && then.Sent == c.Sent && then.Received == c.Received
}

// includes reports whether c is in the set, whatever it has carried.
func (s Set) includes(c Connection) bool {
	_, ok := s[c.id()]
	return ok
}

// Stale are connections of one stack that can't go on.
type Stale struct {
	Connections []Connection
	endpoints   []*tcp.Endpoint
}

// TouchedSince chooses those connections of a stack that carried a segment
// since known was listed, or that weren't there then.
func TouchedSince(st *stack.Stack, known Set) Stale {
	return choose(st, func(c Connection) bool { return !known.untouched(c) })
}

// Listed chooses those connections of a stack that are in a set.
func Listed(st *stack.Stack, set Set) Stale { return choose(st, set.includes) }

func choose(st *stack.Stack, wanted func(Connection) bool) Stale {
	var s Stale
	external(st, func(c Connection, e *tcp.Endpoint) {
		if wanted(c) {
			s.Connections, s.endpoints = append(s.Connections, c), append(s.endpoints, e)
		}
	})
	return s
}

// Reset resets the connections: towards their peers as far as the stack's
// packets get out, and for the program.
func (s Stale) Reset() {
	for _, e := range s.endpoints {
		e.Abort()
	}
}

// connectionBytes is the size of a connection as written.
var connectionBytes = binary.Size(Connection{})

// Encode cuts a list that is longer than a reader accepts: what
// isn't listed is reset.
func Encode(cs []Connection) []byte {
	var b bytes.Buffer
	// Neither the buffer nor the fixed-size type can fail.
	_ = binary.Write(&b, binary.LittleEndian, cs[:min(len(cs), maxConnections)])
	return b.Bytes()
}

func Decode(b []byte) (Set, error) {
	if len(b)%connectionBytes != 0 || len(b) > connectionBytes*maxConnections {
		return nil, fmt.Errorf("connections of %d bytes", len(b))
	}
	cs := make([]Connection, len(b)/connectionBytes)
	if err := binary.Read(bytes.NewReader(b), binary.LittleEndian, cs); err != nil {
		return nil, fmt.Errorf("decode connections: %w", err)
	}
	m := make(Set, len(cs))
	for _, c := range cs {
		m[c.id()] = c
	}
	return m, nil
}

// Read reads a file that another sandbox of the container wrote.
func Read(f io.ReaderAt) (Set, error) {
	limit := int64(connectionBytes*maxConnections) + 1
	b, err := io.ReadAll(io.NewSectionReader(f, 0, limit))
	if err != nil {
		return nil, fmt.Errorf("read connections: %w", err)
	}
	return Decode(b)
}
