// Package tcpreset chooses the TCP connections that can't go on in a copy, and
// resets them.
//
// A connection that carried no segment between checkpoint and failure goes on:
// the checkpoint's state of it is still true. Every other connection is reset:
// towards its peer by the stopped sandbox, whose stack alone has the right
// sequence numbers, and for the program by the copy, whose state of it is
// stale. The endpoints' own counters of segments decide. A segment counted
// needlessly, such as a keepalive, costs a reset and no data.
//
// It owns the list of connections as it is written into a checkpoint and into
// the files of requests. It must not know kernels, requests or when a sandbox
// is stopped.
//
// No locks and no goroutines of its own. A list is a true one only while the
// stack is paused or none of its tasks runs, which is the caller's duty.
package tcpreset

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// Connection is a TCP connection and how much it has carried. Its encoding is
// its fields in order, in little-endian.
type Connection struct {
	LocalAddr, RemoteAddr [16]byte // IPv4 in the first four bytes, the rest zero
	LocalPort, RemotePort uint16
	AddrLen               uint32 // 4 or 16
	Sent, Received        uint64 // segments
}

// identity tells connections of one stack apart.
type identity struct {
	local, remote         [16]byte
	localPort, remotePort uint16
}

func (c Connection) id() identity {
	return identity{local: c.LocalAddr, remote: c.RemoteAddr, localPort: c.LocalPort, remotePort: c.RemotePort}
}

// List returns the connections of a stack that reach outside the sandbox; none
// for a nil stack.
func List(st *stack.Stack) []Connection {
	var cs []Connection
	external(st, func(c Connection, _ *tcp.Endpoint) { cs = append(cs, c) })
	return cs
}

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
		if !ok || staysInside(info.ID) {
			continue
		}
		f(connectionOf(info.ID, e.Stats().(*tcp.Stats)), e)
	}
}

// carriesData reports whether a connection in state s may still carry data.
func carriesData(s tcp.EndpointState) bool {
	switch s {
	case tcp.StateEstablished, tcp.StateFinWait1, tcp.StateFinWait2, tcp.StateCloseWait:
		return true
	}
	return false
}

// staysInside reports whether both ends of a connection are in the sandbox.
func staysInside(id stack.TransportEndpointID) bool {
	return header.IsV4LoopbackAddress(id.RemoteAddress) || id.RemoteAddress == header.IPv6Loopback ||
		id.RemoteAddress == id.LocalAddress
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

// Set is a list of connections that was decoded.
type Set map[identity]Connection

// untouched reports whether c carried no segment since the set was listed.
func (s Set) untouched(c Connection) bool {
	then, ok := s[c.id()]
	return ok && then.Sent == c.Sent && then.Received == c.Received
}

// includes reports whether c is in the set, however much it has carried.
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
// since known was listed, or that are missing from it.
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

const (
	// connectionBytes is the size of a Connection's encoding.
	connectionBytes = 2*16 + 2*2 + 4 + 2*8
	// maxConnections bounds a list: more than there are ports on one address.
	maxConnections = 1 << 17
)

// ErrMalformed is wrapped by errors of Decode and Read: the bytes are no list of
// connections.
var ErrMalformed = errors.New("list of connections is malformed")

// Encode returns the encoding of a list. A list longer than Decode accepts is
// cut: a connection that isn't listed is reset.
func Encode(cs []Connection) []byte {
	var b bytes.Buffer
	// Neither the buffer nor the fixed-size type can fail.
	_ = binary.Write(&b, binary.LittleEndian, cs[:min(len(cs), maxConnections)])
	return b.Bytes()
}

// Decode is the inverse of Encode. The bytes may be hostile: the result takes
// at most a few times their size. Errors: ErrMalformed.
func Decode(b []byte) (Set, error) {
	if len(b)%connectionBytes != 0 || len(b) > connectionBytes*maxConnections {
		return nil, fmt.Errorf("connections of %d bytes: %w", len(b), ErrMalformed)
	}
	cs := make([]Connection, len(b)/connectionBytes)
	if err := binary.Read(bytes.NewReader(b), binary.LittleEndian, cs); err != nil {
		return nil, fmt.Errorf("decode connections: %w: %w", ErrMalformed, err)
	}
	s := make(Set, len(cs))
	for _, c := range cs {
		s[c.id()] = c
	}
	return s, nil
}

// Read decodes a file that another sandbox of the container wrote. Errors:
// ErrMalformed, and those of reading.
func Read(f io.ReaderAt) (Set, error) {
	b, err := io.ReadAll(io.NewSectionReader(f, 0, connectionBytes*maxConnections+1))
	if err != nil {
		return nil, fmt.Errorf("read connections: %w", err)
	}
	return Decode(b)
}
