// Package netbuffer stands between a sandbox's network stack and its interfaces
// while the program is stopped. What arrives meanwhile is kept, for the stack
// itself or for another sandbox: a stack that is being saved drops it, one that
// is about to be killed would answer what nobody will ever stand by, and a
// peer's kernel tries again only after a second.
//
// It is concerned with IP packets on interfaces that reach outside. How
// neighbours are found (ARP, and its part of ICMPv6) goes on meanwhile: the
// sandbox that takes over has the same addresses.
//
// It hooks into the place where gVisor has nftables, which it is built without:
// an atomic pointer that is no part of a checkpoint and costs nothing while it
// is nil.
//
// It must not know why the program is stopped.
package netbuffer

import (
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"runsc-recover/sentry/wire"
)

// mode says what passes.
type mode int

const (
	open    mode = iota // everything
	held                // what arrives is kept, for this stack
	leaving             // … for another one
	stopped             // … and nothing goes out
	parting             // … but resets
)

// Buffer is that of one stack. Nil is that of a sandbox without a stack of
// gVisor's: its methods do nothing.
type Buffer struct {
	st *stack.Stack

	mu sync.Mutex
	// The following are guarded by mu.

	mode mode
	// kept are the frames that have arrived, by interface, as wire.AppendFrame
	// writes them.
	kept map[string][]byte
	// admitted is let in while the mode is held.
	admitted *stack.PacketBuffer
}

// New returns st's border, which is open.
func New(st *stack.Stack) *Buffer {
	return &Buffer{st: st, kept: make(map[string][]byte)}
}

// Hold begins to keep what arrives, for Release.
func (b *Buffer) Hold() { b.close(held) }

// HoldForCopy begins to keep what arrives for another sandbox, beside what a Hold has
// kept, which Release doesn't end any more.
func (b *Buffer) HoldForCopy() { b.close(leaving) }

// Silence lets nothing out any more. What the stack has taken in before HoldForCopy has
// been answered then.
func (b *Buffer) Silence() {
	if b == nil {
		return
	}
	// The workers that answer stop once they have nothing left to do.
	b.st.Pause()
	b.st.Resume()
	b.close(stopped)
}

// AllowResets lets resets out of a border that was stopped.
func (b *Buffer) AllowResets() { b.close(parting) }

// close closes the border at least as far as m.
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

// Reopen takes HoldForCopy, Silence and AllowResets back.
func (b *Buffer) Reopen() {
	if b == nil {
		return
	}
	b.mu.Lock()
	b.mode = min(b.mode, held)
	b.mu.Unlock()
	b.Release()
}

// Release ends a Hold: what was kept comes in, in order, and then all else.
func (b *Buffer) Release() {
	if b == nil {
		return
	}
	for frames := b.takeOrOpen(); frames != nil; frames = b.takeOrOpen() {
		for link, kept := range frames {
			// What was written here is well-formed, and the interface is there.
			_ = Deliver(b.st, link, kept, b.admit)
		}
	}
}

// takeOrOpen returns what was kept for this stack, or opens the border when
// there is nothing more.
func (b *Buffer) takeOrOpen() map[string][]byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.admitted = nil
	if b.mode > held {
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

// admit lets pkt in, if it is still wanted here when it arrives.
func (b *Buffer) admit(pkt *stack.PacketBuffer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.admitted = pkt
}

// Take returns what has been kept of an interface, for another sandbox's
// Deliver. What is on its way through this process comes later.
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
// came in at an interface that reaches outside.
func (b *Buffer) CheckPrerouting(pkt *stack.PacketBuffer, _ *stack.Route, _ stack.AddressFamily) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mode == open || b.mode == held && pkt == b.admitted || findsNeighbours(pkt) {
		return true
	}
	b.keepLocked(pkt)
	return false
}

// keepLocked keeps a packet, as far as there is room.
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
	return now < stopped || staysInside(b.st, r) || now == parting && resets(pkt)
}

// staysInside reports whether what r routes doesn't leave the sandbox.
func staysInside(st *stack.Stack, r *stack.Route) bool {
	return r != nil && st.NICInfo()[r.NICID()].Flags.Loopback
}

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
