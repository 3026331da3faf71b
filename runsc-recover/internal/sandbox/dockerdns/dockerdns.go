// Package dockerdns relays queries between a sandbox and Docker's resolver.
//
// Docker serves the names of a user-defined network at 127.0.0.11, by packet
// filter rules of the container's network namespace. The sandbox's own stack
// doesn't pass those rules; the supervisor, which is in the same namespace,
// does. Package sentry/agent has the sandbox's end.
//
// It must not know gVisor or the sandbox that asks. Queries come from a hostile
// peer: they are bounded in size by package wire and in number here, and are
// passed on unread. Any process of the container may answer in the resolver's
// place, so answers are untrusted as well.
//
// There are no locks. Each query under way has a goroutine, which ends with its
// answer or after resolverTime.
package dockerdns

import (
	"bytes"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/net/dns/dnsmessage"

	"runsc-recover/sentry/wire"
)

const (
	resolverAddress = "127.0.0.11"
	// resolverTime bounds a query: programs ask again after five seconds.
	resolverTime = 10 * time.Second
	// maxQueries bounds the queries of a sandbox that are under way.
	maxQueries = 64
	// maxResolvConf bounds the part of a resolv.conf that is read, in bytes.
	maxResolvConf = 64 << 10
)

// UsedBy reports whether the container asks Docker's resolver, by the
// resolv.conf that is mounted into it.
func UsedBy(spec *specs.Spec) bool {
	i := slices.IndexFunc(spec.Mounts, func(m specs.Mount) bool { return m.Destination == "/etc/resolv.conf" })
	if i < 0 {
		return false
	}
	f, err := os.Open(spec.Mounts[i].Source)
	if err != nil {
		return false
	}
	defer f.Close()
	text, _ := io.ReadAll(io.LimitReader(f, maxResolvConf)) // as far as the file can be read
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 2 && fields[0] == "nameserver" && fields[1] == resolverAddress {
			return true
		}
	}
	return false
}

// Relay passes the queries of one sandbox to the resolver. Methods are safe for
// concurrent use.
type Relay struct {
	address  string        // of the resolver
	timeout  time.Duration // of a query
	underway chan struct{} // has an entry for each query
	answer   func(wire.Datagram)
}

// NewRelay returns a relay that calls answer with each answer, on a goroutine
// of its own. The datagram has the address and port of its query.
func NewRelay(answer func(wire.Datagram)) *Relay {
	return &Relay{
		address:  net.JoinHostPort(resolverAddress, "53"),
		timeout:  resolverTime,
		underway: make(chan struct{}, maxQueries),
		answer:   answer,
	}
}

// Query relays a query in the background. It never blocks: a query is dropped
// when too many are under way, as by a network.
//
// Preconditions: the process is in the container's network namespace.
func (r *Relay) Query(q wire.Datagram) {
	select {
	case r.underway <- struct{}{}:
	default:
		return
	}
	go func() {
		defer func() { <-r.underway }()
		answer, err := exchange(r.address, q.Data, r.timeout)
		if err != nil {
			return // as if lost: the program asks again
		}
		hideTruncation(answer)
		q.Data = answer
		r.answer(q)
	}()
}

// exchange sends a query over UDP and returns the answer to it, of which at most
// wire.MaxDatagram bytes. Datagrams from other addresses are dropped by the
// kernel, those with another number here.
func exchange(address string, query []byte, timeout time.Duration) ([]byte, error) {
	conn, err := net.DialTimeout("udp", address, timeout)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return nil, err
	}
	if _, err := conn.Write(query); err != nil {
		return nil, err
	}
	buf := make([]byte, wire.MaxDatagram)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, err
		}
		// An answer begins with the number of its query.
		const number = 2
		if n > number && len(query) > number && bytes.Equal(buf[:number], query[:number]) {
			return buf[:n], nil
		}
	}
}

// hideTruncation lets an answer that holds some of a name's addresses pass for
// a complete answer. The program would ask for the rest over TCP, where nobody
// answers, and C libraries as well as Go's fail then.
func hideTruncation(answer []byte) {
	const flags, truncated = 2, 0x02 // the byte, and the bit in it
	var p dnsmessage.Parser
	if h, err := p.Start(answer); err != nil || !h.Truncated {
		return
	}
	q, err := p.Question()
	if err != nil || q.Type != dnsmessage.TypeA && q.Type != dnsmessage.TypeAAAA || p.SkipAllQuestions() != nil {
		return
	}
	if h, err := p.AnswerHeader(); err == nil && h.Type == q.Type {
		answer[flags] &^= truncated
	}
}
