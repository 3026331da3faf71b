package dockerdns

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/net/dns/dnsmessage"
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
}

// TestExchange passes answers to other queries over.
func TestExchange(t *testing.T) {
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		buf := make([]byte, 100)
		n, from, err := l.ReadFrom(buf)
		if err != nil {
			return
		}
		l.WriteTo([]byte("xx not this"), from)
		l.WriteTo([]byte{'a'}, from)
		l.WriteTo(append(buf[:n], '!'), from)
	}()
	answer, err := exchange(l.LocalAddr().String(), []byte("ab who?"))
	if err != nil || string(answer) != "ab who?!" {
		t.Errorf("got %q, %v", answer, err)
	}
}

// What doesn't fit is asked for over TCP, unless it is more addresses of a name
// that has some.
func TestHideTruncation(t *testing.T) {
	name := dnsmessage.MustNewName("many.example.")
	for _, c := range []struct {
		what    string
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
			t.Errorf("%s: %v with %d answers", c.what, got.Header, len(got.Answers))
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
