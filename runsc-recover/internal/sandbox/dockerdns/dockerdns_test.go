package dockerdns

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/net/dns/dnsmessage"

	"runsc-recover/sentry/wire"
	"runsc-recover/test/expect"
)

func TestUsedBy(t *testing.T) {
	for text, want := range map[string]bool{
		"nameserver 127.0.0.11\noptions ndots:0\n": true,
		"search x\nnameserver\t127.0.0.11":         true,
		"nameserver 127.0.0.1\n":                   false,
		"# nameserver 127.0.0.11\n":                false,
		"":                                         false,
	} {
		path := filepath.Join(t.TempDir(), "resolv.conf")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		spec := &specs.Spec{Mounts: []specs.Mount{{Destination: "/etc/hosts"}, {Destination: "/etc/resolv.conf", Source: path}}}
		if got := UsedBy(spec); got != want {
			t.Errorf("%q: got %t", text, got)
		}
	}
	if UsedBy(&specs.Spec{}) {
		t.Error("without a file")
	}
	gone := specs.Mount{Destination: "/etc/resolv.conf", Source: filepath.Join(t.TempDir(), "none")}
	if UsedBy(&specs.Spec{Mounts: []specs.Mount{gone}}) {
		t.Error("with a file that isn't there")
	}
}

// resolver is a fake of Docker's, which calls answer with each query.
func resolver(t *testing.T, answer func(l net.PacketConn, from net.Addr, query []byte)) string {
	t.Helper()
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for buf := make([]byte, 1<<16); ; {
			n, from, err := l.ReadFrom(buf)
			if err != nil {
				return
			}
			answer(l, from, bytes.Clone(buf[:n]))
		}
	}()
	return l.LocalAddr().String()
}

// Answers to other queries, from other addresses, and without a body are passed
// over.
func TestExchange(t *testing.T) {
	other, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	address := resolver(t, func(l net.PacketConn, from net.Addr, query []byte) {
		other.WriteTo(append(bytes.Clone(query), "forged"...), from)
		for _, wrong := range []string{"", "a", "ab", "xx not this"} {
			l.WriteTo([]byte(wrong), from)
		}
		l.WriteTo(append(query, '!'), from)
		l.WriteTo(append(query, "late"...), from)
	})
	answer, err := exchange(address, []byte("ab who?"), time.Minute)
	expect.Equal(t, "answer", string(answer), "ab who?!")
	expect.Equal(t, "error", err, nil)
}

// Queries and answers of any size are passed on, as far as a datagram may be.
func TestExchangeIsBounded(t *testing.T) {
	address := resolver(t, func(l net.PacketConn, from net.Addr, query []byte) {
		l.WriteTo(append(query, make([]byte, wire.MaxDatagram)...), from)
	})
	for _, size := range []int{3, 512, wire.MaxDatagram} {
		answer, err := exchange(address, make([]byte, size), time.Minute)
		expect.Equal(t, "error", err, nil)
		expect.Equal(t, "size of the answer", len(answer), wire.MaxDatagram)
	}
	// A query without a number has no answer.
	for _, size := range []int{0, 1, 2} {
		if answer, err := exchange(address, make([]byte, size), 10*time.Millisecond); err == nil {
			t.Errorf("%d bytes: answered with %d", size, len(answer))
		}
	}
	if _, err := exchange("127.0.0.1:1", []byte("abc"), time.Minute); err == nil {
		t.Error("answered by nobody")
	}
}

// A sandbox that floods the relay has a bounded number of queries under way. The
// others are dropped, and later ones answered, with the address of their query.
func TestRelayIsBounded(t *testing.T) {
	release := make(chan struct{})
	var asked atomic.Int32
	answers := make(chan wire.Datagram, 2*maxQueries)
	r := NewRelay(func(d wire.Datagram) { answers <- d })
	r.address = resolver(t, func(l net.PacketConn, from net.Addr, query []byte) {
		asked.Add(1)
		go func() {
			<-release
			l.WriteTo(append(query, " yes"...), from)
		}()
	})
	for i := range 10 * maxQueries {
		r.Query(wire.Datagram{Address: []byte{10, 0, 0, 1}, Port: uint16(i), Data: fmt.Appendf(nil, "%04d?", i)})
	}
	close(release)
	for range maxQueries {
		d := <-answers
		expect.Equal(t, "answer", string(d.Data), fmt.Sprintf("%04d? yes", d.Port))
		expect.Equal(t, "address", net.IP(d.Address).String(), "10.0.0.1")
	}
	expect.Equal(t, "queries that the resolver got", asked.Load(), maxQueries)
	// The last goroutines may not have left yet: a query that is dropped is asked
	// again, as by a program.
	var late wire.Datagram
	for late.Data == nil {
		r.Query(wire.Datagram{Address: []byte{10, 0, 0, 1}, Port: 9, Data: []byte("late?")})
		select {
		case late = <-answers:
		case <-time.After(10 * time.Millisecond):
		}
	}
	expect.Equal(t, "late answer", string(late.Data), "late? yes")
}

// A query without an answer gives its place to others after a while.
func TestUnansweredQueriesEnd(t *testing.T) {
	r := NewRelay(func(wire.Datagram) { t.Error("answered") })
	r.address = resolver(t, func(net.PacketConn, net.Addr, []byte) {})
	r.timeout = time.Millisecond
	for range maxQueries {
		r.Query(wire.Datagram{Data: []byte("abc")})
	}
	for range maxQueries { // places that queries have left
		r.underway <- struct{}{}
	}
}

// An answer that is cut is asked for over TCP, unless it has some of a name's
// addresses.
func TestHideTruncation(t *testing.T) {
	name := dnsmessage.MustNewName("many.example.")
	for _, c := range []struct {
		name    string
		asked   dnsmessage.Type
		answers int
		want    bool // truncated
	}{
		{"some addresses", dnsmessage.TypeA, 20, false},
		{"no addresses", dnsmessage.TypeA, 0, true},
		{"addresses of another kind", dnsmessage.TypeAAAA, 20, true},
		{"text", dnsmessage.TypeTXT, 20, true},
	} {
		m := dnsmessage.Message{
			Header:    dnsmessage.Header{ID: 7, Response: true, Truncated: true, RecursionDesired: true},
			Questions: []dnsmessage.Question{{Name: name, Type: c.asked, Class: dnsmessage.ClassINET}},
		}
		for i := range c.answers {
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: name, Class: dnsmessage.ClassINET, TTL: 60},
				Body:   &dnsmessage.AResource{A: [4]byte{10, 0, 0, byte(i)}},
			})
		}
		answer, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		hideTruncation(answer)
		var got dnsmessage.Message
		if err := got.Unpack(answer); err != nil {
			t.Fatal(err)
		}
		if got.Truncated != c.want || !got.RecursionDesired || len(got.Answers) != c.answers {
			t.Errorf("%s: %v with %d answers", c.name, got.Header, len(got.Answers))
		}
	}
	for _, answer := range []string{"", "\x00\x07\x82", "\x00\x07\x82\x00\x00\x01\x00\x01\x00\x00\x00\x00", "\x00\x07\x82\x00\x00\x01\x00\x01\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01"} {
		b := []byte(answer)
		hideTruncation(b)
		if string(b) != answer {
			t.Errorf("%q was changed to %q", answer, b)
		}
	}
}
