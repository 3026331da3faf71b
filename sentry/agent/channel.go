package agent

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"gvisor.dev/gvisor/pkg/abi/linux"
	"gvisor.dev/gvisor/pkg/fd"
	"gvisor.dev/gvisor/pkg/log"
	"gvisor.dev/gvisor/pkg/unet"

	"runsc-recover/sentry/wire"
)

// channel is the agent's end of the socket to the supervisor. gVisor's unet
// is used because its system calls pass the sandbox's seccomp filter.
type channel struct {
	sock *unet.Socket

	sendMu sync.Mutex // one packet at a time
}

// newChannel takes ownership of sock.
func newChannel(sock int) (*channel, error) {
	s, err := unet.NewSocket(sock)
	if err != nil {
		return nil, fmt.Errorf("adopt the supervisor's socket: %w", err)
	}
	return &channel{sock: s}, nil
}

func (c *channel) send(m wire.Message) error {
	b, err := wire.Encode(m)
	if err != nil {
		return err
	}
	c.sendMu.Lock()
	defer c.sendMu.Unlock()
	w := c.sock.Writer(true)
	_, err = w.WriteVec([][]byte{b})
	return err
}

// receive returns the next request and its files, which the caller owns.
// buf is at least wire.MaxMessage long.
func (c *channel) receive(buf []byte) (wire.Request, []*fd.FD, error) {
	r := c.sock.Reader(true)
	r.EnableFDs(wire.MaxFiles)
	n, err := r.ReadVec([][]byte{buf})
	if err != nil {
		return wire.Request{}, nil, err
	}
	if n == 0 {
		return wire.Request{}, nil, io.EOF
	}
	nums, err := r.ExtractFDs()
	if err != nil {
		return wire.Request{}, nil, fmt.Errorf("receive files: %w", err)
	}
	files := make([]*fd.FD, 0, len(nums))
	for _, num := range nums {
		files = append(files, fd.New(num))
	}
	req, err := wire.DecodeRequest(buf[:n])
	if err != nil {
		closeFiles(files)
		return wire.Request{}, nil, err
	}
	return req, files, nil
}

func closeFiles(files []*fd.FD) {
	for _, f := range files {
		f.Close()
	}
}

// serve answers requests until the supervisor is gone, which ends the process.
func (a *Agent) serve(ch *channel) {
	buf := make([]byte, wire.MaxMessage)
	for {
		req, files, err := ch.receive(buf)
		if errors.Is(err, wire.ErrMalformed) || errors.Is(err, wire.ErrTooLarge) {
			log.Warningf("recover: request refused: %v", err)
			continue
		}
		if err != nil {
			log.Warningf("recover: supervisor is gone: %v", err)
			return
		}
		go a.handle(req, files)
	}
}

// handle carries out one request and replies. It takes ownership of files.
func (a *Agent) handle(req wire.Request, files []*fd.FD) {
	reply := wire.Reply{ID: req.ID}
	defer func() { a.send(wire.Message{Reply: &reply}) }()
	if len(files) != req.Files() {
		closeFiles(files)
		reply.Err = wireError(wire.CodeMalformed, fmt.Errorf("%s with %d files", req.Verb, len(files)))
		return
	}
	defer closeFiles(files)
	switch req.Verb {
	case wire.VerbRun:
		a.gate.Open()
		a.saver.Collector.Booted()
	case wire.VerbRelease:
		reply.Err = a.release(req.Info)
	case wire.VerbCheckpoint:
		reply.Checkpoint, reply.Err = a.checkpoint(*req.Take, files)
	case wire.VerbLoaded:
		reply.Err = a.loaded(req.Loaded, files[0])
	case wire.VerbCheckpointDone:
		a.checkpointDone(*req.Done)
	case wire.VerbRefuse:
		reply.Err = a.refuse()
	case wire.VerbConnections:
		reply.Err = a.checkpointedConnections(files[0])
	case wire.VerbReset:
		reply.Err = a.resetConnections(files[0], files[1])
	case wire.VerbDrop:
		reply.Err = a.dropConnections(files[0])
	case wire.VerbKept:
		reply.Err = a.giveFrames(req.Link, files[0])
	case wire.VerbDeliver:
		reply.Err = a.deliver(req.Link, files[0])
	case wire.VerbFail:
		reply.Err = a.fail(*req.Failure)
	case wire.VerbAnswer:
		reply.Err = a.answer(*req.Answer)
	case wire.VerbMemory:
		setMemory(req.Memory)
	case wire.VerbForeground:
		reply.Err = a.signalForeground(req.Container, linux.Signal(req.Signo))
	default:
		reply.Err = wireError(wire.CodeMalformed, fmt.Errorf("unknown request %q", req.Verb))
	}
}

// wireError makes err fit into a Reply.
func wireError(code wire.Code, err error) *wire.Error {
	text := err.Error()
	return &wire.Error{Code: code, Text: text[:min(len(text), wire.MaxErrorText)]}
}
