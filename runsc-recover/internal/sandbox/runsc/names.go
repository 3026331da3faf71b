package runsc

import (
	"bytes"
	"context"
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

// The resolver that docker has in the namespace of a container in a network
// made by a user. See sentry/agent for the other end.
const (
	resolverAddress = "127.0.0.11"
	resolverTime    = 10 * time.Second
	// maxQueries bounds the questions of a sandbox that are under way.
	maxQueries = 64
	// maxResolvConf bounds what is read of a resolv.conf.
	maxResolvConf = 64 << 10
)

// namesResolver reports whether the container is to ask docker's resolver, by
// the resolv.conf that is mounted for it.
func namesResolver(spec *specs.Spec) bool {
	i := slices.IndexFunc(spec.Mounts, func(m specs.Mount) bool { return m.Destination == "/etc/resolv.conf" })
	if i < 0 {
		return false
	}
	f, err := os.Open(spec.Mounts[i].Source)
	if err != nil {
		return false
	}
	defer f.Close()
	text, _ := io.ReadAll(io.LimitReader(f, maxResolvConf)) // what could be read
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 2 && fields[0] == "nameserver" && fields[1] == resolverAddress {
			return true
		}
	}
	return false
}

// resolve answers a program's query in the background, or drops it when too
// many are under way. The supervisor is in the container's network namespace.
func (g *generation) resolve(q wire.Datagram) {
	select {
	case g.queries <- struct{}{}:
	default:
		return
	}
	go func() {
		defer func() { <-g.queries }()
		answer, err := askResolver(net.JoinHostPort(resolverAddress, "53"), q.Data)
		if err != nil {
			return // as if lost: the program asks again
		}
		hideTruncation(answer)
		q.Data = answer
		// What it came too late for isn't there any more.
		_, _ = g.ask(context.Background(), askTimeout, wire.Request{Verb: wire.VerbAnswer, Answer: &q})
	}()
}

// askResolver sends a query over UDP and returns the answer to it.
func askResolver(address string, query []byte) ([]byte, error) {
	conn, err := net.DialTimeout("udp", address, resolverTime)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(resolverTime)); err != nil {
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
		// An answer begins with its question's number.
		const number = 2
		if n > number && len(query) > number && bytes.Equal(buf[:number], query[:number]) {
			return buf[:n], nil
		}
	}
}

// hideTruncation lets an answer that holds some of a name's addresses pass for
// one that holds all. The program would ask for the rest over TCP, which there
// is nobody to answer, and C libraries as well as Go's fail then.
func hideTruncation(answer []byte) {
	const flags, truncated = 2, 0x02 // the byte and the bit of it
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
