package agent

import (
	"gvisor.dev/gvisor/pkg/fd"

	"runsc-recover/sentry/tcpreset"
	"runsc-recover/sentry/wire"
)

// listConnections serves VerbConnections. The copy is held from then on, and its
// stack, whose timers run, must not even ask for its neighbours' addresses: it
// would hear no answer, and ask again only after a second.
func (a *Agent) listConnections(f *fd.FD) *wire.Error {
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

// resetConnections serves VerbReset. known are the connections of the checkpoint;
// those that were reset are written to touched.
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
// The copy is silent, so that no reset reaches a peer.
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
