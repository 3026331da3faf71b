package runsc

import (
	"context"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"gvisor.dev/gvisor/runsc/boot"

	"runsc-recover/checkpoint/config"
	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/runsc-recover/internal/sandbox/fence"
)

// linkBuffer is the size of an AF_PACKET socket's buffers, in bytes. It is
// gVisor's own figure: the default drops packets at speed.
const linkBuffer = 4 << 20

// Network implements sandbox.Handover. It returns a
// *boot.CreateLinksAndRoutesArgs without files: gVisor takes addresses and
// routes off the host's side of the interfaces, so only the running sandbox
// still knows them.
func (s *instance) Network(ctx context.Context) (sandbox.Network, error) {
	s.mu.Lock()
	known := s.network
	s.mu.Unlock()
	if known != nil {
		return known, nil
	}
	var args *boot.CreateLinksAndRoutesArgs
	err := s.bounded(ctx, askTimeout, "read the network's configuration", func() (err error) {
		args, err = s.c.GetNetworkConfig()
		return err
	})
	if err != nil {
		return nil, err
	}
	args.FilePayload.Files = nil
	s.mu.Lock()
	s.network = args
	s.mu.Unlock()
	return args, nil
}

// networkArgs returns the configuration that Boot was given, with fresh
// sockets on the container's interfaces, for one Restore. Nil means that
// gVisor reads the configuration from the namespace.
func (s *instance) networkArgs() (*boot.CreateLinksAndRoutesArgs, error) {
	s.mu.Lock()
	known := s.network
	s.mu.Unlock()
	if known == nil {
		return nil, nil
	}
	saved, ok := known.(*boot.CreateLinksAndRoutesArgs)
	if !ok {
		return nil, fmt.Errorf("network configuration of type %T", known)
	}
	args := *saved
	args.IsRestore = true
	for _, link := range args.FDBasedLinks {
		for range link.NumChannels {
			f, err := linkSocket(link, s.fence)
			if err != nil {
				closeAll(args.FilePayload.Files)
				return nil, err
			}
			args.FilePayload.Files = append(args.FilePayload.Files, f)
			if err := s.queues.Add(link.Name, int(f.Fd())); err != nil {
				closeAll(args.FilePayload.Files)
				return nil, err
			}
		}
	}
	return &args, nil
}

// allProtocols is ETH_P_ALL in network byte order.
const allProtocols = unix.ETH_P_ALL>>8 | unix.ETH_P_ALL&0xff<<8

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// linkSocket opens a packet socket on the link's interface, as gVisor does for
// a new sandbox. The supervisor is in the container's network namespace. f
// is around it before it is bound.
func linkSocket(link boot.FDBasedLink, f *fence.Fence) (*os.File, error) {
	iface, err := net.InterfaceByName(link.Name)
	if err != nil {
		return nil, fmt.Errorf("find interface %s: %w", link.Name, err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open a packet socket: %w", err)
	}
	socket := os.NewFile(uintptr(fd), "link-"+link.Name)
	if err := f.Add(fd); err != nil {
		socket.Close()
		return nil, err
	}
	if err := bindLink(fd, iface.Index, link); err != nil {
		socket.Close()
		return nil, fmt.Errorf("bind to interface %s: %w", link.Name, err)
	}
	return socket, nil
}

func bindLink(fd, index int, link boot.FDBasedLink) error {
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: allProtocols, Ifindex: index}); err != nil {
		return err
	}
	// The sandbox expects the header when its predecessor had the host's
	// segmentation offload.
	if link.GSOMaxSize > 0 && !link.GVisorGSOEnabled {
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1); err != nil {
			return err
		}
	}
	for _, opt := range []int{unix.SO_RCVBUFFORCE, unix.SO_SNDBUFFORCE} {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, opt, linkBuffer); err != nil {
			return err
		}
	}
	return nil
}

// newFence returns the fence for a sandbox that is to be booted. Errors:
// sandbox.ErrNotFenced.
func newFence(opts sandbox.BootOptions) (*fence.Fence, error) {
	switch {
	case !opts.Fenced, opts.NetworkStack == config.NetworkNone:
		return &fence.Fence{}, nil
	case opts.NetworkStack != config.NetworkSandbox:
		return nil, fmt.Errorf("%w: it would share the network of the host", sandbox.ErrNotFenced)
	}
	args, ok := opts.Network.(*boot.CreateLinksAndRoutesArgs)
	if !ok {
		return nil, fmt.Errorf("%w: the network's configuration isn't known", sandbox.ErrNotFenced)
	}
	var devices []string
	for _, l := range args.FDBasedLinks {
		devices = append(devices, l.Name)
	}
	if len(devices) == 0 {
		return &fence.Fence{}, nil
	}
	f, err := fence.New(opts.ID, devices)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", sandbox.ErrNotFenced, err)
	}
	return f, nil
}
