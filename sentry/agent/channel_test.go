package agent

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"runsc-recover/checkpoint/memfile"
	"runsc-recover/sentry/wire"
	"runsc-recover/test/expect"
)

// connect gives an agent a channel and returns the supervisor's end.
func connect(t *testing.T, a *Agent) (supervisor int, ch *channel) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fds[0]) })
	if ch, err = newChannel(fds[1]); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ch.sock.Close() })
	a.out.Store(ch)
	return fds[0], ch
}

// listen returns the messages that the agent sends from now on.
func (s sandbox) listen() <-chan wire.Message {
	s.t.Helper()
	supervisor, _ := connect(s.t, s.Agent)
	messages := make(chan wire.Message)
	go func() {
		for {
			m, err := readMessage(supervisor)
			if err != nil {
				close(messages)
				return
			}
			messages <- m
		}
	}()
	s.t.Cleanup(func() {
		unix.Shutdown(supervisor, unix.SHUT_RDWR)
		for range messages {
		}
	})
	return messages
}

func readMessage(supervisor int) (wire.Message, error) {
	b := make([]byte, wire.MaxMessage)
	n, err := unix.Read(supervisor, b)
	if err != nil {
		return wire.Message{}, err
	}
	if n == 0 {
		return wire.Message{}, io.EOF
	}
	return wire.DecodeMessage(b[:n])
}

// sendPacket sends a packet with files as the supervisor does.
func sendPacket(t *testing.T, supervisor int, b []byte, files ...*os.File) {
	t.Helper()
	var fds []int
	for _, f := range files {
		fds = append(fds, int(f.Fd()))
	}
	var rights []byte
	if fds != nil {
		rights = unix.UnixRights(fds...)
	}
	if err := unix.Sendmsg(supervisor, b, rights, nil, 0); err != nil {
		t.Fatal(err)
	}
}

func newFile(t *testing.T, contents string) *os.File {
	t.Helper()
	f, err := memfile.New("test")
	if err == nil {
		_, err = f.WriteString(contents)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestReceive(t *testing.T) {
	supervisor, ch := connect(t, newAgent())
	f := newFile(t, "contents")
	buf := make([]byte, wire.MaxMessage)
	for _, c := range []struct {
		name   string
		packet string
		files  []*os.File
		want   error
		id     uint64
	}{
		{name: "a request", packet: `{"id":1,"verb":"run"}`, id: 1},
		{name: "one with a file", packet: `{"id":2,"verb":"drop"}`, files: []*os.File{f}, id: 2},
		{name: "one with as many files as may be", packet: `{"id":3,"verb":"checkpoint","take":{"seq":1,"parent":0,"full":true}}`, files: []*os.File{f, f, f, f, f}, id: 3},
		{name: "no request", packet: `nonsense`, want: wire.ErrMalformed},
		{name: "no request, with a file", packet: `{}`, files: []*os.File{f}, want: wire.ErrMalformed},
		{name: "a request after those", packet: `{"id":4,"verb":"run"}`, id: 4},
	} {
		sendPacket(t, supervisor, []byte(c.packet), c.files...)
		req, files, err := ch.receive(buf)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
			continue
		}
		expect.Equal(t, c.name+": id", req.ID, c.id)
		if err != nil {
			expect.Equal(t, c.name+": files", len(files), 0)
			continue
		}
		expect.Equal(t, c.name+": files", len(files), len(c.files))
		for _, file := range files {
			b := make([]byte, 8)
			if _, err := file.ReadAt(b, 0); err != nil {
				t.Error(err)
			}
			expect.Equal(t, c.name+": contents", string(b), "contents")
		}
		closeFiles(files)
	}
	unix.Shutdown(supervisor, unix.SHUT_RDWR)
	if _, _, err := ch.receive(buf); !errors.Is(err, io.EOF) {
		t.Errorf("a channel that is closed: %v", err)
	}
}

func TestSendRefusesLargeMessages(t *testing.T) {
	_, ch := connect(t, newAgent())
	m := wire.Message{Reply: &wire.Reply{ID: 1, Err: &wire.Error{Text: strings.Repeat("x", wire.MaxMessage)}}}
	if err := ch.send(m); !errors.Is(err, wire.ErrTooLarge) {
		t.Errorf("sending returns %v", err)
	}
}

// ask sends a request and returns the reply.
func (s sandbox) ask(supervisor int, req wire.Request, files ...*os.File) *wire.Reply {
	s.t.Helper()
	req.ID = 7
	b, err := wire.Encode(req)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.askPacket(supervisor, b, files...)
}

func (s sandbox) askPacket(supervisor int, b []byte, files ...*os.File) *wire.Reply {
	s.t.Helper()
	sendPacket(s.t, supervisor, b, files...)
	m, err := readMessage(supervisor)
	if err != nil || m.Reply == nil || m.Reply.ID != 7 {
		s.t.Fatalf("%s is answered by %+v, %v", b, m, err)
	}
	return m.Reply
}

// serve has the agent answer requests until the test ends.
func (s sandbox) serve() (supervisor int) {
	s.t.Helper()
	supervisor, ch := connect(s.t, s.Agent)
	done := make(chan struct{})
	go func() {
		s.Agent.serve(ch)
		close(done)
	}()
	s.t.Cleanup(func() {
		unix.Shutdown(supervisor, unix.SHUT_RDWR)
		<-done
	})
	return supervisor
}

// codeOf is empty for a reply without an error.
func codeOf(r *wire.Reply) wire.Code {
	if r.Err == nil {
		return ""
	}
	return r.Err.Code
}

// TestRequestsOutOfPlace: a request that doesn't fit the sandbox's state, or
// whose files aren't as they should be, is refused and changes nothing.
func TestRequestsOutOfPlace(t *testing.T) {
	early := sandbox{newAgent(), t} // has no kernel yet
	running := newSandbox(t)
	f := newFile(t, "not a list")
	checkpoint := wire.Request{Verb: wire.VerbCheckpoint, Take: &wire.TakeCheckpoint{Seq: 1}}
	for _, c := range []struct {
		name  string
		s     sandbox
		req   wire.Request
		files []*os.File
		want  wire.Code
	}{
		{"release before there is a kernel", early, wire.Request{Verb: wire.VerbRelease}, nil, wire.CodeState},
		{"checkpoint before there is a kernel", early, checkpoint, []*os.File{f, f, f, f}, wire.CodeState},
		{"connections before there is a kernel", early, wire.Request{Verb: wire.VerbConnections}, []*os.File{f}, wire.CodeState},
		{"drop before there is a kernel", early, wire.Request{Verb: wire.VerbDrop}, []*os.File{newFile(t, "")}, wire.CodeState},
		{"deliver before there is a kernel", early, wire.Request{Verb: wire.VerbDeliver, Link: "eth0"}, []*os.File{newFile(t, "")}, wire.CodeState},
		{"refuse before there is a kernel", early, wire.Request{Verb: wire.VerbRefuse}, nil, wire.CodeState},
		{"foreground of another container", early, wire.Request{Verb: wire.VerbForeground, Container: "db", Signo: 2}, nil, wire.CodeState},
		{"loaded in a sandbox that wasn't restored", running, wire.Request{Verb: wire.VerbLoaded, Loaded: 1}, []*os.File{loadedFile(t)}, wire.CodeState},
		{"loaded with bytes that are no list", running, wire.Request{Verb: wire.VerbLoaded, Loaded: 1}, []*os.File{f}, wire.CodeMalformed},
		{"checkpoint of a kernel without a loader", running, checkpoint, []*os.File{f, f, f, f}, wire.CodeInternal},
		{"refuse without a failure", running, wire.Request{Verb: wire.VerbRefuse}, nil, wire.CodeState},
		{"reset without a failure", running, wire.Request{Verb: wire.VerbReset}, []*os.File{newFile(t, ""), f}, wire.CodeState},
		{"reset with bytes that are no list", running, wire.Request{Verb: wire.VerbReset}, []*os.File{f, f}, wire.CodeMalformed},
		{"drop with bytes that are no list", running, wire.Request{Verb: wire.VerbDrop}, []*os.File{f}, wire.CodeMalformed},
		{"kept without a failure", running, wire.Request{Verb: wire.VerbKept, Link: "eth0"}, []*os.File{f}, wire.CodeState},
		{"deliver without a network", running, wire.Request{Verb: wire.VerbDeliver, Link: "eth0"}, []*os.File{f}, wire.CodeState},
		{"foreground without a process", running, wire.Request{Verb: wire.VerbForeground, Container: "web", Signo: 2}, nil, wire.CodeState},
		{"a verb that there isn't", running, wire.Request{Verb: "dance"}, nil, wire.CodeMalformed},
		{"a file too few", running, wire.Request{Verb: wire.VerbDrop}, nil, wire.CodeMalformed},
		{"a file too many", running, wire.Request{Verb: wire.VerbRun}, []*os.File{f}, wire.CodeMalformed},
	} {
		reply := c.s.ask(c.s.serve(), c.req, c.files...)
		expect.Equal(t, c.name, codeOf(reply), c.want)
	}
	expect.Equal(t, "a failure of the running sandbox", running.failing, false)
}

// loadedFile holds an empty list of loaded pages.
func loadedFile(t *testing.T) *os.File {
	return newFile(t, strings.Repeat("\x00", 16))
}

// TestMalformedPacketsAreSkipped: the next request is served.
func TestMalformedPacketsAreSkipped(t *testing.T) {
	s := newSandbox(t)
	supervisor := s.serve()
	sendPacket(t, supervisor, []byte("nonsense"))
	sendPacket(t, supervisor, []byte(`{"id":1,"verb":"memory"}`))
	reply := s.ask(supervisor, wire.Request{Verb: wire.VerbRun})
	expect.Equal(t, "reply", codeOf(reply), wire.Code(""))
}

// TestErrorTextIsBounded: an error fits into a reply, however long its text.
func TestErrorTextIsBounded(t *testing.T) {
	err := wireError(wire.CodeInternal, errors.New(strings.Repeat("x", 2*wire.MaxErrorText)))
	expect.Equal(t, "length", len(err.Text), wire.MaxErrorText)
	b, encodeErr := wire.Encode(wire.Message{Reply: &wire.Reply{ID: 1, Err: err}})
	expect.Equal(t, "error", encodeErr, nil)
	_, decodeErr := wire.DecodeMessage(b)
	expect.Equal(t, "error of the supervisor's decoder", decodeErr, nil)
}

func TestDecodeOptions(t *testing.T) {
	want := Options{FD: 9, Enabled: true, Report: true, Signal: true, Exit: true, Interrupt: 10, Network: "sandbox", Container: "web", Resolver: true}
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var config map[string]any
	if err := json.Unmarshal(b, &config); err != nil {
		t.Fatal(err)
	}
	got, err := decodeOptions(config)
	expect.Equal(t, "error", err, nil)
	expect.Equal(t, "options", got, want)
	for name, bad := range map[string]map[string]any{
		"a text for a number": {"fd": "nine"},
		"a number for a text": {"network": 7},
		"no JSON":             {"fd": func() {}},
	} {
		if _, err := decodeOptions(bad); err == nil {
			t.Errorf("%s was decoded", name)
		}
	}
}
