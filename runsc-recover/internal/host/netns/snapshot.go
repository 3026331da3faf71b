package netns

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"runsc-recover/oci/statedir"
)

// Snapshot is the addresses and routes of a network namespace's interfaces.
// gVisor takes them off the interfaces when a sandbox starts; a program that is
// started afresh, and others that use the namespace after the container, need them
// there again.
type Snapshot struct {
	// Path is that of a namespace which outlives the container, else empty, and
	// Inode the namespace's: the path may come to mean another one.
	Path  string    `json:"path,omitempty"`
	Inode uint64    `json:"inode,omitempty"`
	Links []netLink `json:"links"`
}

// netLink is one interface.
type netLink struct {
	Name      string     `json:"name"`
	Addresses []string   `json:"addresses"` // with prefix length
	Routes    []netRoute `json:"routes"`
}

// netRoute is one route, without those that the kernel adds by itself.
type netRoute struct {
	Destination string `json:"destination,omitempty"` // empty for the default route
	Gateway     net.IP `json:"gateway,omitempty"`
	Source      net.IP `json:"source,omitempty"`
	Scope       int    `json:"scope,omitempty"`
	Flags       int    `json:"flags,omitempty"`
	Priority    int    `json:"priority,omitempty"`
	MTU         int    `json:"mtu,omitempty"`
}

// maxSnapshot bounds the file that holds a Snapshot, in bytes.
const maxSnapshot = 1 << 20

// TakeSnapshot reads the calling thread's namespace, which is at path; empty for
// one that doesn't outlive the container.
func TakeSnapshot(path string) (Snapshot, error) {
	s := Snapshot{Path: path, Inode: currentInode()}
	links, err := netlink.LinkList()
	if err != nil {
		return s, fmt.Errorf("list interfaces: %w", err)
	}
	for _, link := range links {
		a := link.Attrs()
		if a.Flags&net.FlagUp == 0 || a.Flags&net.FlagLoopback != 0 {
			continue
		}
		l, err := snapshotLink(link)
		if err != nil {
			return s, fmt.Errorf("read interface %s: %w", a.Name, err)
		}
		s.Links = append(s.Links, l)
	}
	return s, nil
}

func snapshotLink(link netlink.Link) (netLink, error) {
	l := netLink{Name: link.Attrs().Name}
	addrs, err := netlink.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return l, fmt.Errorf("list addresses: %w", err)
	}
	for _, a := range addrs {
		l.Addresses = append(l.Addresses, a.IPNet.String())
	}
	routes, err := netlink.RouteList(link, netlink.FAMILY_ALL)
	if err != nil {
		return l, fmt.Errorf("list routes: %w", err)
	}
	for _, r := range routes {
		if r.Protocol == unix.RTPROT_KERNEL { // comes with its address
			continue
		}
		route := netRoute{Gateway: r.Gw, Source: r.Src, Scope: int(r.Scope), Flags: r.Flags, Priority: r.Priority, MTU: r.MTU}
		if r.Dst != nil {
			route.Destination = r.Dst.String()
		}
		l.Routes = append(l.Routes, route)
	}
	// Gateways are reached by the others.
	slices.SortStableFunc(l.Routes, func(a, b netRoute) int { return len(a.Gateway) - len(b.Gateway) })
	return l, nil
}

// PutBack configures the interfaces of the calling thread's namespace as in the
// snapshot.
//
// Preconditions: no sandbox runs on them, since the host's kernel answers on
// their addresses from then on.
func (s Snapshot) PutBack() error {
	for _, l := range s.Links {
		if err := l.putBack(); err != nil {
			return fmt.Errorf("configure interface %s again: %w", l.Name, err)
		}
	}
	return nil
}

func (l netLink) putBack() error {
	link, err := netlink.LinkByName(l.Name)
	if err != nil {
		return err
	}
	for _, text := range l.Addresses {
		addr, err := netlink.ParseAddr(text)
		if err != nil {
			return fmt.Errorf("parse address %s: %w", text, err)
		}
		if addr.IP.To4() == nil {
			addr.Flags = unix.IFA_F_NODAD
		}
		if err := netlink.AddrReplace(link, addr); err != nil {
			return fmt.Errorf("add address %s: %w", text, err)
		}
	}
	for _, r := range l.Routes {
		if err := r.putBack(link.Attrs().Index); err != nil {
			return fmt.Errorf("add route to %q: %w", r.Destination, err)
		}
	}
	return nil
}

func (r netRoute) putBack(link int) error {
	route := &netlink.Route{
		LinkIndex: link, Gw: r.Gateway, Src: r.Source, Scope: netlink.Scope(r.Scope),
		Flags: r.Flags, Priority: r.Priority, MTU: r.MTU,
	}
	if r.Destination != "" {
		_, dst, err := net.ParseCIDR(r.Destination)
		if err != nil {
			return err
		}
		route.Dst = dst
	}
	if err := netlink.RouteReplace(route); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}

// currentInode identifies the calling thread's network namespace.
func currentInode() uint64 {
	var st unix.Stat_t
	if unix.Stat(Current, &st) != nil {
		return 0 // a thread always has one
	}
	return st.Ino
}

// Save keeps the snapshot for the cleanup after a supervisor that was killed.
func (s Snapshot) Save(dir statedir.Dir) error {
	b, err := json.Marshal(s)
	if err == nil {
		err = statedir.WriteFile(dir.NetworkFile(), b)
	}
	if err != nil {
		return fmt.Errorf("save network configuration: %w", err)
	}
	return nil
}

// PutBackSaved puts a saved snapshot back, as a supervisor that was killed
// couldn't, unless the namespace has gone or another container has it.
func PutBackSaved(dir statedir.Dir) error {
	s, err := load(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read network configuration: %w", err)
	}
	err = In(Plan{Path: s.Path}, func() error {
		if currentInode() != s.Inode {
			return fs.ErrNotExist
		}
		var c Claims
		defer c.drop(ownerClaim)
		if err := c.inherit(ownerClaim); err != nil {
			return err
		}
		return s.PutBack()
	})
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.EADDRINUSE) {
		return nil
	}
	return err
}

// load reads the snapshot that Save has kept. Errors: fs.ErrNotExist.
func load(dir statedir.Dir) (s Snapshot, err error) {
	b, err := statedir.ReadLimited(dir.NetworkFile(), maxSnapshot)
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(b, &s)
}
