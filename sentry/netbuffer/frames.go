package netbuffer

import (
	"errors"
	"fmt"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"runsc-recover/sentry/wire"
)

// ErrNoInterface is wrapped by errors of Deliver.
var ErrNoInterface = errors.New("there is no such interface")

// Deliver lets frames come in at an interface as if they had arrived just now.
// before, which may be nil, is called with each packet before it comes in. The
// frames may be hostile. Errors: ErrNoInterface, and those of wire.DecodeFrames.
func Deliver(st *stack.Stack, link string, kept []byte, before func(*stack.PacketBuffer)) error {
	frames, err := wire.DecodeFrames(kept)
	if err != nil {
		return err
	}
	nic, addr, err := interfaceNamed(st, link)
	if err != nil {
		return err
	}
	for _, frame := range frames {
		deliverFrame(nic, addr, frame, before)
	}
	return nil
}

// interfaceNamed finds an Ethernet interface.
func interfaceNamed(st *stack.Stack, name string) (stack.NetworkDispatcher, tcpip.LinkAddress, error) {
	for id, info := range st.NICInfo() {
		if info.Name != name || info.Flags.Loopback {
			continue
		}
		nic, err := st.GetNICByID(id)
		if err != nil {
			return nil, "", fmt.Errorf("%s: %w: %s", name, ErrNoInterface, err)
		}
		return nic, info.LinkAddress, nil
	}
	return nil, "", fmt.Errorf("%s: %w", name, ErrNoInterface)
}

// deliverFrame lets a frame come in as gVisor's own reader of packet sockets
// does: frames for other hosts are dropped.
func deliverFrame(nic stack.NetworkDispatcher, addr tcpip.LinkAddress, frame []byte, before func(*stack.PacketBuffer)) {
	if len(frame) < header.EthernetMinimumSize {
		return
	}
	eth := header.Ethernet(frame)
	group := frame[0]&1 != 0
	if to := eth.DestinationAddress(); to != addr && !group {
		return
	}
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(frame)})
	defer pkt.DecRef()
	pkt.LinkHeader().Consume(header.EthernetMinimumSize)
	pkt.NetworkProtocolNumber = eth.Type()
	if before != nil {
		before(pkt)
	}
	nic.DeliverNetworkPacket(pkt.NetworkProtocolNumber, pkt)
}
