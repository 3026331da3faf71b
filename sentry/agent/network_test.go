package agent

import (
	"bytes"
	"io"
	"os"
	"testing"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	linkchannel "gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/link/loopback"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"

	"runsc-recover/sentry/failure"
	"runsc-recover/sentry/kerneltest"
	"runsc-recover/sentry/wire"
	"runsc-recover/test/expect"
)

var address = tcpip.AddrFrom4([4]byte{127, 0, 0, 1})

// newStack returns a stack with a loopback and an Ethernet interface.
func newStack(t *testing.T) *stack.Stack {
	t.Helper()
	st := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol},
	})
	t.Cleanup(st.Destroy)
	check(t, st.CreateNICWithOptions(1, loopback.New(), stack.NICOptions{Name: "lo"}))
	check(t, st.CreateNICWithOptions(2, ethernet.New(linkchannel.New(16, 1500, "\x02\x00\x00\x00\x00\x01")), stack.NICOptions{Name: "eth0"}))
	check(t, st.AddProtocolAddress(1, tcpip.ProtocolAddress{
		Protocol:          ipv4.ProtocolNumber,
		AddressWithPrefix: tcpip.AddressWithPrefix{Address: address, PrefixLen: 8},
	}, stack.AddressProperties{}))
	st.SetRouteTable([]tcpip.Route{{Destination: header.IPv4LoopbackSubnet, NIC: 1}})
	return st
}

func check(t *testing.T, err tcpip.Error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newNetwork returns a sandbox with a network stack, whose names Docker resolves.
func newNetwork(t *testing.T) (sandbox, *stack.Stack) {
	t.Helper()
	st := newStack(t)
	a := newAgent()
	a.opts = Options{Enabled: true, Report: true, Resolver: true}
	a.firstTask(kerneltest.New(t, st).SupervisorContext())
	return sandbox{a, t}, st
}

func (s sandbox) setFailing(failing bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing = failing
}

// TestConnectionRequests goes through a failure's three requests for
// connections, where there are none.
func TestConnectionRequests(t *testing.T) {
	stopped, _ := newNetwork(t)
	messages := stopped.listen()
	if err := stopped.fail(failure.State{Kind: failure.Operator, Key: 1}); err != nil {
		t.Fatal(err)
	}
	<-messages
	touched := newFile(t, "")
	reply := stopped.ask(stopped.serve(), wire.Request{Verb: wire.VerbReset}, newFile(t, ""), touched)
	expect.Equal(t, "reset", codeOf(reply), wire.Code(""))
	expect.Equal(t, "connections that were reset", contents(t, touched), "")

	copied := sandbox{newAgent(), t}
	copied.restore(kerneltest.New(t, newStack(t)), `{"connections":"AQI="}`)
	known := newFile(t, "")
	reply = copied.ask(copied.serve(), wire.Request{Verb: wire.VerbConnections}, known)
	expect.Equal(t, "connections", codeOf(reply), wire.Code(""))
	expect.Equal(t, "the checkpoint's connections", contents(t, known), "\x01\x02")
	reply = copied.ask(copied.serve(), wire.Request{Verb: wire.VerbDrop}, touched)
	expect.Equal(t, "drop", codeOf(reply), wire.Code(""))
}

func contents(t *testing.T, f *os.File) string {
	t.Helper()
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func packet(size int) *stack.PacketBuffer {
	return stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(make([]byte, size))})
}

func TestPacketRequests(t *testing.T) {
	s, _ := newNetwork(t)
	supervisor := s.serve()
	frame := string(wire.AppendFrame(nil, []byte("short")))
	for _, c := range []struct {
		name, link, frames string
		want               wire.Code
	}{
		{"no packets", "eth0", "", ""},
		{"a frame that is no packet", "eth0", frame, ""},
		{"half a frame", "eth0", frame[:6], wire.CodeMalformed},
		{"an interface that isn't there", "eth7", frame, wire.CodeMalformed},
		{"loopback", "lo", frame, wire.CodeMalformed},
		{"too many packets", "eth0", string(make([]byte, wire.MaxFrames+1)), wire.CodeMalformed},
	} {
		reply := s.ask(supervisor, wire.Request{Verb: wire.VerbDeliver, Link: c.link}, newFile(t, c.frames))
		expect.Equal(t, c.name, codeOf(reply), c.want)
	}
	s.setFailing(true)
	reply := s.ask(supervisor, wire.Request{Verb: wire.VerbKept, Link: "eth0"}, newFile(t, ""))
	expect.Equal(t, "taking kept packets", codeOf(reply), wire.Code(""))
}

// TestResolver: a program's query to Docker's resolver goes to the supervisor,
// and its answer comes back to the program.
func TestResolver(t *testing.T) {
	s, st := newNetwork(t)
	messages := s.listen()
	go s.sendQueries()
	t.Cleanup(func() { close(s.queries) })
	var wq waiter.Queue
	entry, readable := waiter.NewChannelEntry(waiter.ReadableEvents)
	wq.EventRegister(&entry)
	ep, err := st.NewEndpoint(udp.ProtocolNumber, ipv4.ProtocolNumber, &wq)
	check(t, err)
	defer ep.Close()
	check(t, ep.Bind(tcpip.FullAddress{Addr: address, Port: 5000}))
	_, err = ep.Write(bytes.NewReader([]byte("who?")), tcpip.WriteOptions{To: &tcpip.FullAddress{Addr: resolverAddress(), Port: resolverPort}})
	check(t, err)
	q := (<-messages).Query
	if q == nil || string(q.Data) != "who?" || q.Port != 5000 || !bytes.Equal(q.Address, address.AsSlice()) {
		t.Fatalf("query %+v", q)
	}

	if err := s.answer(wire.Datagram{Address: q.Address, Port: q.Port, Data: []byte("me")}); err != nil {
		t.Fatal(err)
	}
	<-readable
	var b bytes.Buffer
	_, err = ep.Read(&b, tcpip.ReadOptions{})
	check(t, err)
	expect.Equal(t, "answer", b.String(), "me")
}

// TestOtherDatagramsAreNoQueries: those are refused as by a stack without a
// resolver.
func TestOtherDatagramsAreNoQueries(t *testing.T) {
	resolver, own := resolverAddress(), address
	for _, c := range []struct {
		name  string
		id    stack.TransportEndpointID
		size  int
		taken bool // from the stack
		sent  int
	}{
		{"a query", stack.TransportEndpointID{LocalAddress: resolver, LocalPort: 53, RemoteAddress: own}, 10, true, 1},
		{"to another port", stack.TransportEndpointID{LocalAddress: resolver, LocalPort: 54, RemoteAddress: own}, 10, false, 0},
		{"to another address", stack.TransportEndpointID{LocalAddress: own, LocalPort: 53, RemoteAddress: own}, 10, false, 0},
		{"by IPv6", stack.TransportEndpointID{LocalAddress: resolver, LocalPort: 53, RemoteAddress: header.IPv6Loopback}, 10, false, 0},
		{"too large", stack.TransportEndpointID{LocalAddress: resolver, LocalPort: 53, RemoteAddress: own}, wire.MaxDatagram + 1, true, 0},
	} {
		a := newAgent()
		pkt := packet(c.size)
		expect.Equal(t, c.name+": taken", a.query(c.id, pkt), c.taken)
		expect.Equal(t, c.name+": queries", len(a.queries), c.sent)
		pkt.DecRef()
	}
	a := newAgent()
	for range maxQueries + 10 {
		pkt := packet(1)
		a.query(stack.TransportEndpointID{LocalAddress: resolver, LocalPort: 53, RemoteAddress: own}, pkt)
		pkt.DecRef()
	}
	expect.Equal(t, "queries that wait", len(a.queries), maxQueries)
}

// TestAnswersOutOfPlace: an answer that comes late is dropped, and an answer that
// can't reach a program is an error.
func TestAnswersOutOfPlace(t *testing.T) {
	d := wire.Datagram{Address: address.AsSlice(), Port: 1, Data: []byte("x")}
	if err := newAgent().answer(d); err != nil {
		t.Errorf("before there is a kernel: %v", err)
	}
	s, _ := newNetwork(t)
	s.setFailing(true)
	if err := s.answer(d); err != nil {
		t.Errorf("in a stopped sandbox: %v", err)
	}
	s.setFailing(false)
	d.Address = []byte{10, 0, 0, 9}
	if err := s.answer(d); err == nil || err.Code != wire.CodeState {
		t.Errorf("to an address without a route: %v", err)
	}
	none := newSandbox(t)
	if err := none.answer(d); err == nil || err.Code != wire.CodeState {
		t.Errorf("without a network: %v", err)
	}
}
