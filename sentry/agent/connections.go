package agent

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"gvisor.dev/gvisor/pkg/fd"
	"gvisor.dev/gvisor/pkg/sentry/kernel"
	"gvisor.dev/gvisor/pkg/sentry/socket/netstack"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"runsc-recover/sentry/wire"
)

// A connection that carried nothing between the checkpoint and the failure
// goes on in the copy. Every other one is reset: towards its peer by the
// stopped sandbox, whose stack alone has the right sequence numbers, and in
// the copy, where its state is stale. What it carried is told by the counters
// that the endpoint keeps; a segment counted needlessly, such as a keepalive,
// costs a reset and no data.

// connection is a TCP connection and what it had carried. It is written to
// files as it stands, in little-endian.
type connection struct {
	LocalAddr, RemoteAddr [16]byte // IPv4 in the first four bytes, the rest zero
	LocalPort, RemotePort uint16
	AddrLen               uint32 // 4 or 16
	Sent, Received        uint64 // segments
}

// connectionID is what tells connections apart.
type connectionID struct {
	local, remote [16]byte
	localPort     uint16
	remotePort    uint16
}

func (c connection) id() connectionID {
	return connectionID{local: c.LocalAddr, remote: c.RemoteAddr, localPort: c.LocalPort, remotePort: c.RemotePort}
}

// maxConnections bounds what a file of connections may hold: more than there
// are ports on one address.
const maxConnections = 1 << 17

// external calls f with every TCP connection of k's stack that reaches outside
// the sandbox.
func external(k *kernel.Kernel, f func(connection, *tcp.Endpoint)) {
	st := netstackOf(k)
	if st == nil {
		return
	}
	for _, ep := range st.Stack.RegisteredEndpoints() {
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

func connectionOf(id stack.TransportEndpointID, stats *tcp.Stats) connection {
	c := connection{
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

// netstackOf returns k's network stack, or nil where it isn't gVisor's own.
func netstackOf(k *kernel.Kernel) *netstack.Stack {
	ns := k.RootNetworkNamespace()
	if ns == nil {
		return nil
	}
	st, _ := ns.Stack().(*netstack.Stack)
	return st
}

// connections returns those that reach outside.
func connections(k *kernel.Kernel) []connection {
	var cs []connection
	external(k, func(c connection, _ *tcp.Endpoint) { cs = append(cs, c) })
	return cs
}

// listConnections serves VerbConnections. The copy is held from then on, and its
// stack, whose timers run, must not even ask for its neighbours' addresses: it
// would hear no answer, and ask again only after a second.
func (a *Agent) listConnections(f *fd.FD) *wire.Error {
	a.mu.Lock()
	if a.k == nil {
		a.mu.Unlock()
		return wireError(wire.CodeState, errNoKernel)
	}
	a.adoptNetworkLocked()
	a.network.Silence()
	cs := a.restoredConnections
	a.mu.Unlock()
	return writeFile(f, cs)
}

// resetConnections serves VerbReset.
func (a *Agent) resetConnections(known, touched *fd.FD) *wire.Error {
	at, err := readConnections(known)
	if err != nil {
		return wireError(wire.CodeMalformed, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.failing {
		return wireError(wire.CodeState, errNotFailing)
	}
	var gone []connection
	var endpoints []*tcp.Endpoint
	external(a.k, func(c connection, e *tcp.Endpoint) {
		if then, ok := at[c.id()]; !ok || then.Sent != c.Sent || then.Received != c.Received {
			gone, endpoints = append(gone, c), append(endpoints, e)
		}
	})
	a.network.AllowResets()
	for _, e := range endpoints {
		e.Abort()
	}
	return writeFile(touched, encodeConnections(gone))
}

// dropConnections serves VerbDrop: the program finds those connections reset.
// The resets that the copy's stack sends for them stay at its border.
func (a *Agent) dropConnections(f *fd.FD) *wire.Error {
	gone, err := readConnections(f)
	if err != nil {
		return wireError(wire.CodeMalformed, err)
	}
	k := a.kernel()
	if k == nil {
		return wireError(wire.CodeState, errNoKernel)
	}
	var stale []*tcp.Endpoint
	external(k, func(c connection, e *tcp.Endpoint) {
		if _, ok := gone[c.id()]; ok {
			stale = append(stale, e)
		}
	})
	for _, e := range stale {
		e.Abort()
	}
	return nil
}

// connectionBytes is the size of a connection as written.
var connectionBytes = binary.Size(connection{})

// encodeConnections cuts a list that is longer than a reader accepts: what
// isn't listed is reset.
func encodeConnections(cs []connection) []byte {
	var b bytes.Buffer
	// Neither the buffer nor the fixed-size type can fail.
	_ = binary.Write(&b, binary.LittleEndian, cs[:min(len(cs), maxConnections)])
	return b.Bytes()
}

func decodeConnections(b []byte) (map[connectionID]connection, error) {
	if len(b)%connectionBytes != 0 || len(b) > connectionBytes*maxConnections {
		return nil, fmt.Errorf("connections of %d bytes", len(b))
	}
	cs := make([]connection, len(b)/connectionBytes)
	if err := binary.Read(bytes.NewReader(b), binary.LittleEndian, cs); err != nil {
		return nil, fmt.Errorf("decode connections: %w", err)
	}
	m := make(map[connectionID]connection, len(cs))
	for _, c := range cs {
		m[c.id()] = c
	}
	return m, nil
}

func writeFile(f *fd.FD, b []byte) *wire.Error {
	if len(b) == 0 {
		return nil
	}
	if _, err := f.WriteAt(b, 0); err != nil {
		return wireError(wire.CodeInternal, fmt.Errorf("write the request's file: %w", err))
	}
	return nil
}

// readConnections reads a file that another sandbox of the container wrote.
func readConnections(f *fd.FD) (map[connectionID]connection, error) {
	limit := int64(connectionBytes*maxConnections) + 1
	b, err := io.ReadAll(io.NewSectionReader(f, 0, limit))
	if err != nil {
		return nil, fmt.Errorf("read connections: %w", err)
	}
	return decodeConnections(b)
}
