package agent

import (
	"fmt"
	"io"
	"sync"

	"gvisor.dev/gvisor/pkg/fd"
	"gvisor.dev/gvisor/pkg/unet"

	"runsc-recover/sentry/wire"
)

// channel is the agent's end of the socket to the supervisor. gVisor's unet
// is used because its system calls pass the sandbox's seccomp filter.
type channel struct {
	sock *unet.Socket
	// sendMu is held while a packet is written.
	sendMu sync.Mutex
}

// newChannel takes ownership of sock.
func newChannel(sock int) (*channel, error) {
	s, err := unet.NewSocket(sock)
	if err != nil {
		return nil, fmt.Errorf("adopt the supervisor's socket: %w", err)
	}
	return &channel{sock: s}, nil
}

// send sends a message. Errors: wire.ErrTooLarge, and the socket's.
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

// receive returns the next request and its files, which the caller owns. buf is
// at least wire.MaxMessage long. After wire.ErrTooLarge and wire.ErrMalformed
// the channel is as good as before; after io.EOF and others it isn't.
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
