package tcpreset

import (
	"bytes"
	"encoding/hex"
	"errors"
	"maps"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"runsc-recover/test/expect"
)

func testConnection(remotePort uint16) Connection {
	c := Connection{LocalPort: 80, RemotePort: remotePort, AddrLen: 4, Sent: 1, Received: 2}
	copy(c.LocalAddr[:], []byte{10, 0, 0, 1})
	copy(c.RemoteAddr[:], []byte{10, 0, 0, 2})
	return c
}

// The encoding is part of checkpoints on disk.
func TestEncodingStays(t *testing.T) {
	c := testConnection(7)
	want := "0a000001000000000000000000000000" + "0a000002000000000000000000000000" + "5000" + "0700" + "04000000" +
		"0100000000000000" + "0200000000000000"
	expect.Equal(t, "encoding", hex.EncodeToString(Encode([]Connection{c})), want)
	expect.Equal(t, "size", len(want)/2, connectionBytes)
}

func TestRoundTrip(t *testing.T) {
	a, b := testConnection(1), testConnection(2)
	got, err := Decode(Encode([]Connection{a, b}))
	if err != nil {
		t.Fatal(err)
	}
	if want := (Set{a.id(): a, b.id(): b}); !maps.Equal(got, want) {
		t.Errorf("%+v are decoded, want %+v", got, want)
	}
}

func TestLongListIsCut(t *testing.T) {
	cs := make([]Connection, maxConnections+1)
	if _, err := Decode(Encode(cs)); err != nil {
		t.Error(err)
	}
}

func TestMalformedListsAreRefused(t *testing.T) {
	for name, b := range map[string][]byte{
		"one byte":             {1},
		"half a connection":    make([]byte, connectionBytes/2),
		"one and a byte":       make([]byte, connectionBytes+1),
		"too many connections": make([]byte, connectionBytes*(maxConnections+1)),
	} {
		if _, err := Decode(b); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: decoding returns %v", name, err)
		}
		if _, err := Read(bytes.NewReader(b)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: reading returns %v", name, err)
		}
	}
	got, err := Read(bytes.NewReader(nil))
	if err != nil || len(got) != 0 {
		t.Errorf("an empty file is %v, %v", got, err)
	}
}

type unreadable struct{}

func (unreadable) ReadAt([]byte, int64) (int, error) { return 0, errUnreadable }

var errUnreadable = errors.New("unreadable")

func TestReadReturnsItsFilesError(t *testing.T) {
	if _, err := Read(unreadable{}); !errors.Is(err, errUnreadable) {
		t.Errorf("reading returns %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(Encode([]Connection{testConnection(1)}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := Decode(b); err == nil && len(s) > len(b)/connectionBytes {
			t.Errorf("%d connections in %d bytes", len(s), len(b))
		}
	})
}

func TestUntouched(t *testing.T) {
	known := Set{testConnection(1).id(): testConnection(1)}
	for _, c := range []struct {
		name                string
		change              func(*Connection)
		untouched, included bool
	}{
		{"unchanged", func(*Connection) {}, true, true},
		{"sent", func(c *Connection) { c.Sent++ }, false, true},
		{"received", func(c *Connection) { c.Received++ }, false, true},
		{"fewer than then", func(c *Connection) { c.Sent-- }, false, true},
		{"another peer", func(c *Connection) { c.RemoteAddr[0]++ }, false, false},
		{"another port", func(c *Connection) { c.RemotePort++ }, false, false},
		{"another address of ours", func(c *Connection) { c.LocalAddr[0]++ }, false, false},
		{"another port of ours", func(c *Connection) { c.LocalPort++ }, false, false},
	} {
		now := testConnection(1)
		c.change(&now)
		expect.Equal(t, c.name+": untouched", known.untouched(now), c.untouched)
		expect.Equal(t, c.name+": included", known.includes(now), c.included)
	}
}

func TestStaysInside(t *testing.T) {
	v4 := func(last byte) tcpip.Address { return tcpip.AddrFrom4([4]byte{10, 0, 0, last}) }
	v6 := func(last byte) tcpip.Address { return tcpip.AddrFrom16([16]byte{0xfd, 15: last}) }
	for _, c := range []struct {
		name          string
		local, remote tcpip.Address
		want          bool
	}{
		{"to a neighbour", v4(1), v4(2), false},
		{"to a neighbour by IPv6", v6(1), v6(2), false},
		{"to itself", v4(1), v4(1), true},
		{"to itself by IPv6", v6(1), v6(1), true},
		{"by loopback", tcpip.AddrFrom4([4]byte{127, 0, 0, 1}), tcpip.AddrFrom4([4]byte{127, 0, 0, 9}), true},
		{"by loopback of IPv6", v6(1), tcpip.AddrFrom16([16]byte{15: 1}), true},
	} {
		expect.Equal(t, c.name, staysInside(stack.TransportEndpointID{LocalAddress: c.local, RemoteAddress: c.remote}), c.want)
	}
}

func TestCarriesData(t *testing.T) {
	carrying := map[tcp.EndpointState]bool{
		tcp.StateEstablished: true, tcp.StateFinWait1: true, tcp.StateFinWait2: true, tcp.StateCloseWait: true,
	}
	for s := tcp.StateEstablished; s <= tcp.StateError; s++ {
		expect.Equal(t, s.String(), carriesData(s), carrying[s])
	}
}
