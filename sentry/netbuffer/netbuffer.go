// Package netbuffer is the buffer between a sandbox's network stack and its
// interfaces while the program is stopped. Packets that arrive meanwhile are
// kept, for the stack itself or for a copy: a stack that is being saved drops
// them, a stack that is about to be killed would acknowledge data that dies
// with it, and a peer's kernel sends again only after a second.
//
// It owns the packets that it keeps, as IP frames by interface, up to
// wire.MaxFrames of each. Neighbour discovery (ARP, and its part of ICMPv6)
// goes on meanwhile: the copy has the same addresses.
//
// It hooks into the place where gVisor has nftables, which this gVisor is built
// without: an atomic pointer of the stack that is no part of a checkpoint and
// costs nothing while it is nil.
//
// It must not know why the program is stopped.
//
// # Locks
//
// Buffer.mu comes before the stack's own locks.
//
// It starts no goroutines. The hook runs on the goroutines of the stack, which
// go on while a kernel is saved: a packet that is kept doesn't reach the parts
// of the stack that are saved.
package netbuffer

import (
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"runsc-recover/sentry/wire"
)

// mode is how far the buffer is closed. Each mode includes those before it.
type mode int

const (
	open      mode = iota // every packet passes
	holding               // arriving packets are kept, for this stack
	leaving               // … for a copy
	silent                // and no packet goes out
	resetting             // but resets
)

// Buffer is the buffer of one stack. A nil Buffer is that of a sandbox without
// a stack of gVisor's: its methods do nothing.
type Buffer struct {
	st *stack.Stack

	mu sync.Mutex
	// The following are guarded by mu.

	mode mode
	// kept are the frames that have arrived, by interface, as wire.AppendFrame
	// writes them.
	kept map[string][]byte
	// admitted passes while the mode is holding.
	admitted *stack.PacketBuffer
}

// New returns st's buffer, which is open.
func New(st *stack.Stack) *Buffer {
	return &Buffer{st: st, kept: make(map[string][]byte)}
}

// Hold begins to keep arriving packets, for Release.
func (b *Buffer) Hold() { b.close(holding) }

// HoldForCopy begins to keep arriving packets for a copy, beside those that a
// Hold has kept. Release doesn't end it; Reopen does.
func (b *Buffer) HoldForCopy() { b.close(leaving) }

// Silence lets no packet out any more, once the stack has answered those that it
// had taken in before HoldForCopy.
func (b *Buffer) Silence() {
	if b == nil {
		return
	}
	// A pause waits until the stack's workers have nothing left to do.
	b.st.Pause()
	b.st.Resume()
	b.close(silent)
}

// AllowResets lets resets, and no other packets, out of a silent buffer.
func (b *Buffer) AllowResets() { b.close(resetting) }

// close closes the buffer at least as far as m.
func (b *Buffer) close(m mode) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mode = max(b.mode, m)
	b.st.SetNFTables(b)
	b.st.SetNFTablesConfigured(true)
}

// Reopen takes HoldForCopy, Silence and AllowResets back, and ends a Hold.
func (b *Buffer) Reopen() {
	if b == nil {
		return
	}
	b.mu.Lock()
	b.mode = min(b.mode, holding)
	b.mu.Unlock()
	b.Release()
}

// Release ends a Hold: the packets that were kept come in, in order, before all
// later ones.
func (b *Buffer) Release() {
	if b == nil {
		return
	}
	for frames := b.takeOrOpen(); frames != nil; frames = b.takeOrOpen() {
		for link, kept := range frames {
			// The frames were encoded here, and the interface is there.
			_ = Deliver(b.st, link, kept, b.admit)
		}
	}
}

// takeOrOpen returns the frames that were kept for this stack, or opens the
// buffer where there are none.
func (b *Buffer) takeOrOpen() map[string][]byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.admitted = nil
	if b.mode > holding {
		return nil
	}
	if len(b.kept) == 0 {
		b.mode = open
		b.st.SetNFTables(nil)
		b.st.SetNFTablesConfigured(false)
		return nil
	}
	frames := b.kept
	b.kept = make(map[string][]byte)
	return frames
}

// admit lets pkt in, unless a HoldForCopy comes first.
func (b *Buffer) admit(pkt *stack.PacketBuffer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.admitted = pkt
}

// Take returns the frames that were kept of an interface since the last Take,
// for a copy's Deliver. Packets on their way through this process come later.
func (b *Buffer) Take(link string) []byte {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	kept := b.kept[link]
	delete(b.kept, link)
	return kept
}

// CheckPrerouting implements stack.NFTablesInterface: false drops pkt, which
// arrived at an interface that reaches outside.
func (b *Buffer) CheckPrerouting(pkt *stack.PacketBuffer, _ *stack.Route, _ stack.AddressFamily) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mode == open || b.mode == holding && pkt == b.admitted || findsNeighbours(pkt) {
		return true
	}
	b.keepLocked(pkt)
	return false
}

// keepLocked keeps a packet, where there is room.
func (b *Buffer) keepLocked(pkt *stack.PacketBuffer) {
	link := b.st.FindNICNameFromID(pkt.InputNICID)
	frame := stack.BufferSince(pkt.LinkHeader())
	defer frame.Release()
	if kept := b.kept[link]; len(kept)+int(frame.Size())+wire.FrameOverhead <= wire.MaxFrames {
		b.kept[link] = wire.AppendFrame(kept, frame.Flatten())
	}
}

// findsNeighbours reports whether pkt belongs to neighbour discovery.
func findsNeighbours(pkt *stack.PacketBuffer) bool {
	if pkt.TransportProtocolNumber != header.ICMPv6ProtocolNumber {
		return false
	}
	h, ok := pkt.Data().PullUp(header.ICMPv6MinimumSize)
	if t := pkt.TransportHeader().Slice(); len(t) >= header.ICMPv6MinimumSize {
		h, ok = t, true
	}
	if !ok {
		return false
	}
	t := header.ICMPv6(h).Type()
	return t >= header.ICMPv6RouterSolicit && t <= header.ICMPv6RedirectMsg
}

// CheckPostrouting implements stack.NFTablesInterface.
func (b *Buffer) CheckPostrouting(pkt *stack.PacketBuffer, r *stack.Route, _ stack.AddressFamily) bool {
	b.mu.Lock()
	now := b.mode
	b.mu.Unlock()
	return now < silent || staysInside(b.st, r) || now == resetting && resets(pkt)
}

// staysInside reports whether packets on route r don't leave the sandbox.
func staysInside(st *stack.Stack, r *stack.Route) bool {
	return r != nil && st.NICInfo()[r.NICID()].Flags.Loopback
}

// resets reports whether pkt resets a TCP connection.
func resets(pkt *stack.PacketBuffer) bool {
	h := header.TCP(pkt.TransportHeader().Slice())
	return pkt.TransportProtocolNumber == header.TCPProtocolNumber &&
		len(h) >= header.TCPMinimumSize && h.Flags().Contains(header.TCPFlagRst)
}

// CheckInput implements stack.NFTablesInterface.
func (*Buffer) CheckInput(*stack.PacketBuffer, *stack.Route, stack.AddressFamily) bool { return true }

// CheckForward implements stack.NFTablesInterface.
func (*Buffer) CheckForward(*stack.PacketBuffer, *stack.Route, stack.AddressFamily) bool {
	return true
}

// CheckOutput implements stack.NFTablesInterface.
func (*Buffer) CheckOutput(*stack.PacketBuffer, *stack.Route, stack.AddressFamily) bool { return true }

// CheckIngress implements stack.NFTablesInterface.
func (*Buffer) CheckIngress(*stack.PacketBuffer, *stack.Route, stack.AddressFamily) bool {
	return true
}

// CheckEgress implements stack.NFTablesInterface.
func (*Buffer) CheckEgress(*stack.PacketBuffer, *stack.Route, stack.AddressFamily) bool { return true }
