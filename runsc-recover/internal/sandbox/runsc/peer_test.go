package runsc

import (
	"encoding/json"
	"io"
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"runsc-recover/sentry/wire"
)

// peer is the agent's end of a channel, in the hands of a test.
type peer struct {
	t *testing.T
	*net.UnixConn
}

// newPeer returns the two ends of a channel, which are closed with the test.
func newPeer(t *testing.T) (*channel, *peer) {
	t.Helper()
	ch, end, err := newChannel()
	if err != nil {
		t.Fatal(err)
	}
	defer end.Close()
	conn, err := net.FileConn(end)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ch.close)
	t.Cleanup(func() { conn.Close() })
	return ch, &peer{t, conn.(*net.UnixConn)}
}

// raw sends a packet, with files.
func (p *peer) raw(text string, files ...int) {
	p.t.Helper()
	var rights []byte
	if len(files) > 0 {
		rights = unix.UnixRights(files...)
	}
	if _, _, err := p.WriteMsgUnix([]byte(text), rights, nil); err != nil {
		p.t.Errorf("send %.80q: %v", text, err)
	}
}

// send sends a message.
func (p *peer) send(m wire.Message) {
	p.t.Helper()
	b, err := wire.Encode(m)
	if err != nil {
		p.t.Error(err)
	}
	p.raw(string(b))
}

// reply answers a request.
func (p *peer) reply(r wire.Reply) { p.send(wire.Message{Reply: &r}) }

// receive returns the next request and its files; false when the channel was
// closed.
func (p *peer) receive() (req wire.Request, files []*os.File, ok bool) {
	buf, rights := make([]byte, wire.MaxMessage), make([]byte, unix.CmsgSpace(4*wire.MaxFiles))
	n, m, _, _, err := p.ReadMsgUnix(buf, rights)
	if err != nil || n == 0 {
		return req, nil, false
	}
	if err := json.Unmarshal(buf[:n], &req); err != nil {
		p.t.Errorf("request %q: %v", buf[:n], err)
	}
	messages, err := unix.ParseSocketControlMessage(rights[:m])
	if err != nil {
		p.t.Error(err)
	}
	for _, message := range messages {
		fds, err := unix.ParseUnixRights(&message)
		if err != nil {
			p.t.Error(err)
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "request's"))
		}
	}
	return req, files, true
}

// serve answers requests as respond does until the channel is closed.
func (p *peer) serve(respond func(req wire.Request, files []*os.File) *wire.Error) {
	for {
		req, files, ok := p.receive()
		if !ok {
			return
		}
		err := respond(req, files)
		for _, f := range files {
			f.Close()
		}
		b, _ := wire.Encode(wire.Message{Reply: &wire.Reply{ID: req.ID, Err: err}})
		_, _ = p.Write(b) // the channel may be closed by now
	}
}

// contents is all that a file holds.
func contents(t *testing.T, f *os.File) string {
	t.Helper()
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<20))
	if err != nil {
		t.Error(err)
	}
	return string(b)
}
