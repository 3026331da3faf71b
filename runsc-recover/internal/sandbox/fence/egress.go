package fence

import (
	"fmt"
	"sync"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// egressRule is an nftables table of the network namespace that drops packets
// with a mark when they leave an interface. Packet sockets pass no other hook.
// The table belongs to its netlink connection: the kernel removes the table
// with the connection, so that it can't outlive this process.
type egressRule struct {
	conn  *nftables.Conn
	close func() error // of conn, once
}

// dropEgress makes a rule.
func dropEgress(name string, mark uint32, devices []string) (*egressRule, error) {
	var raw *netlink.Conn
	conn, err := nftables.New(nftables.AsLasting(), nftables.WithSockOptions(func(c *netlink.Conn) error {
		raw = c
		return nil
	}))
	if err != nil {
		return nil, fmt.Errorf("connect to netfilter: %w", err)
	}
	rule := &egressRule{conn: conn, close: sync.OnceValue(conn.CloseLasting)}
	if err := addOwnedTable(raw, name); err != nil {
		_ = rule.remove() // the first error says more
		return nil, fmt.Errorf("add a table to netfilter: %w", err)
	}
	table := &nftables.Table{Name: name, Family: nftables.TableFamilyNetdev}
	for _, dev := range devices {
		rule.add(table, dev, mark)
	}
	if err := conn.Flush(); err != nil {
		_ = rule.remove()
		return nil, fmt.Errorf("add a rule to the egress hook: %w", err)
	}
	return rule, nil
}

// add queues a chain for one device, until the connection is flushed.
func (r *egressRule) add(table *nftables.Table, device string, mark uint32) {
	chain := r.conn.AddChain(&nftables.Chain{
		Name:     device,
		Table:    table,
		Type:     nftables.ChainTypeFilter,
		Hooknum:  nftables.ChainHookEgress,
		Priority: nftables.ChainPriorityFilter,
		Device:   device,
	})
	r.conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.NativeEndian.PutUint32(mark)},
		&expr.Verdict{Kind: expr.VerdictDrop},
	}})
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
	// A message to netfilter begins with family, version and subsystem.
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
func (r *egressRule) remove() error {
	if r == nil {
		return nil
	}
	if err := r.close(); err != nil {
		return fmt.Errorf("remove the rule from the egress hook: %w", err)
	}
	return nil
}
