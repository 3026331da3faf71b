package tcpreset

import (
	"testing"
)

func TestConnectionsRoundTrip(t *testing.T) {
	a := Connection{LocalPort: 80, RemotePort: 1, AddrLen: 4, Sent: 1, Received: 2}
	copy(a.RemoteAddr[:], []byte{10, 0, 0, 1})
	b := a
	b.RemotePort = 2
	got, err := Decode(Encode([]Connection{a, b}))
	if err != nil || len(got) != 2 || got[a.id()] != a || got[b.id()] != b {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := Decode(make([]byte, connectionBytes+1)); err == nil {
		t.Error("half a connection was accepted")
	}
	if _, err := Decode(make([]byte, connectionBytes*(maxConnections+1))); err == nil {
		t.Error("too many connections were accepted")
	}
}
