package agent

import (
	"fmt"

	"gvisor.dev/gvisor/pkg/fd"
	"gvisor.dev/gvisor/pkg/sentry/kernel"
	"gvisor.dev/gvisor/pkg/sentry/socket/netstack"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"runsc-recover/sentry/tcpreset"
	"runsc-recover/sentry/wire"
)

// netstackOf returns k's network stack, or nil where it isn't gVisor's own.
func netstackOf(k *kernel.Kernel) *stack.Stack {
	ns := k.RootNetworkNamespace()
	if ns == nil {
		return nil
	}
	if st, ok := ns.Stack().(*netstack.Stack); ok {
		return st.Stack
	}
	return nil
}

// checkpointedConnections serves VerbConnections. The copy is held from then on, and its
// stack, whose timers run, must not even ask for its neighbours' addresses: it
// would hear no answer, and ask again only after a second.
func (a *Agent) checkpointedConnections(f *fd.FD) *wire.Error {
	a.mu.Lock()
	if a.k == nil {
		a.mu.Unlock()
		return wireError(wire.CodeState, errNoKernel)
	}
	a.adoptNetworkLocked()
	a.network.Silence()
	cs := a.restoredConnections
	a.mu.Unlock()
	return writeFile(f, cs)
}

// resetConnections serves VerbReset.
func (a *Agent) resetConnections(known, touched *fd.FD) *wire.Error {
	then, err := tcpreset.Read(known)
	if err != nil {
		return wireError(wire.CodeMalformed, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.failing {
		return wireError(wire.CodeState, errNotFailing)
	}
	gone := tcpreset.TouchedSince(netstackOf(a.k), then)
	a.network.AllowResets()
	gone.Reset()
	return writeFile(touched, tcpreset.Encode(gone.Connections))
}

// dropConnections serves VerbDrop: the program finds those connections reset.
// The resets that the copy's stack sends for them stay in its buffer.
func (a *Agent) dropConnections(f *fd.FD) *wire.Error {
	gone, err := tcpreset.Read(f)
	if err != nil {
		return wireError(wire.CodeMalformed, err)
	}
	k := a.kernel()
	if k == nil {
		return wireError(wire.CodeState, errNoKernel)
	}
	tcpreset.Listed(netstackOf(k), gone).Reset()
	return nil
}

func writeFile(f *fd.FD, b []byte) *wire.Error {
	if len(b) == 0 {
		return nil
	}
	if _, err := f.WriteAt(b, 0); err != nil {
		return wireError(wire.CodeInternal, fmt.Errorf("write the request's file: %w", err))
	}
	return nil
}
