package runsc

import (
	"fmt"
	"sync"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"gvisor.dev/gvisor/pkg/log"
)

// egressRule is an nftables table of the network namespace that drops what
// leaves interfaces with a certain mark. Packet sockets pass no other hook.
// The table belongs to its connection: the kernel removes it when that is
// closed, so that it can't outlive this process.
type egressRule struct {
	conn *nftables.Conn
	once sync.Once
}

// dropEgress makes a rule. It needs a kernel with netfilter's egress hook:
// Linux 5.16 or later.
func dropEgress(name string, mark uint32, devices []string) (_ *egressRule, err error) {
	var raw *netlink.Conn
	conn, err := nftables.New(nftables.AsLasting(), nftables.WithSockOptions(func(c *netlink.Conn) error {
		raw = c
		return nil
	}))
	if err != nil {
		return nil, fmt.Errorf("connect to netfilter: %w", err)
	}
	rule := &egressRule{conn: conn}
	if err := addOwnedTable(raw, name); err != nil {
		rule.remove()
		return nil, fmt.Errorf("add a table to netfilter: %w", err)
	}
	table := &nftables.Table{Name: name, Family: nftables.TableFamilyNetdev}
	for _, dev := range devices {
		chain := conn.AddChain(&nftables.Chain{
			Name:     dev,
			Table:    table,
			Type:     nftables.ChainTypeFilter,
			Hooknum:  nftables.ChainHookEgress,
			Priority: nftables.ChainPriorityFilter,
			Device:   dev,
		})
		conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
			&expr.Meta{Key: expr.MetaKeyMARK, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.NativeEndian.PutUint32(mark)},
			&expr.Verdict{Kind: expr.VerdictDrop},
		}})
	}
	if err := conn.Flush(); err != nil {
		rule.remove()
		return nil, fmt.Errorf("add a rule to the egress hook: %w", err)
	}
	return rule, nil
}

// addOwnedTable makes a table that belongs to the connection, which the library
// can't.
func addOwnedTable(conn *netlink.Conn, name string) error {
	const owner = 2 // NFT_TABLE_F_OWNER
	attrs, err := netlink.MarshalAttributes([]netlink.Attribute{
		{Type: unix.NFTA_TABLE_NAME, Data: append([]byte(name), 0)},
		{Type: unix.NFTA_TABLE_FLAGS, Data: binaryutil.BigEndian.PutUint32(owner)},
	})
	if err != nil {
		return err
	}
	// What a message to netfilter begins with: family, version, subsystem.
	batch := []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, unix.NFNL_SUBSYS_NFTABLES}
	header := []byte{unix.NFPROTO_NETDEV, unix.NFNETLINK_V0, 0, 0}
	_, err = conn.SendMessages([]netlink.Message{
		{Header: netlink.Header{Type: unix.NFNL_MSG_BATCH_BEGIN, Flags: netlink.Request}, Data: batch},
		{Header: netlink.Header{
			Type:  unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWTABLE,
			Flags: netlink.Request | netlink.Acknowledge | netlink.Create | netlink.Excl,
		}, Data: append(header, attrs...)},
		{Header: netlink.Header{Type: unix.NFNL_MSG_BATCH_END, Flags: netlink.Request}, Data: batch},
	})
	if err != nil {
		return err
	}
	_, err = conn.Receive()
	return err
}

// remove removes the rule. It may be called more than once, and on nil.
func (r *egressRule) remove() {
	if r == nil {
		return
	}
	r.once.Do(func() {
		if err := r.conn.CloseLasting(); err != nil {
			log.Warningf("recover: removing an egress rule: %v", err)
		}
	})
}
