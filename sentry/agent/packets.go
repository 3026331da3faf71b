package agent

import (
	"errors"
	"fmt"
	"io"

	"gvisor.dev/gvisor/pkg/fd"

	"runsc-recover/sentry/netbuffer"
	"runsc-recover/sentry/wire"
)

var errNoStack = errors.New("there is no network stack")

// takePackets serves VerbKept: packets that arrived for the copy go into f.
func (a *Agent) takePackets(link string, f *fd.FD) *wire.Error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.failing {
		return wireError(wire.CodeState, errNotFailing)
	}
	return writeFile(f, a.network.Take(link))
}

// deliverPackets serves VerbDeliver: packets come in as if they had arrived just
// now. saveMu keeps a checkpoint away meanwhile.
func (a *Agent) deliverPackets(link string, f *fd.FD) *wire.Error {
	b, err := io.ReadAll(io.NewSectionReader(f, 0, wire.MaxFrames+1))
	if err != nil {
		return wireError(wire.CodeInternal, fmt.Errorf("read frames: %w", err))
	}
	a.saveMu.Lock()
	defer a.saveMu.Unlock()
	k := a.kernel()
	if k == nil {
		return wireError(wire.CodeState, errNoKernel)
	}
	st := netstackOf(k)
	if st == nil {
		return wireError(wire.CodeState, errNoStack)
	}
	if err := netbuffer.Deliver(st, link, b, nil); err != nil {
		return wireError(wire.CodeMalformed, err)
	}
	return nil
}
