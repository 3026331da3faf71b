package runsc

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"gvisor.dev/gvisor/runsc/boot"

	"runsc-recover/checkpoint/config"
	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/runsc-recover/internal/sandbox/vethtest"
	"runsc-recover/test/expect"
)

// A copy gets a fenced socket for each channel of each interface, with its
// predecessor's offload, whose queue outlives the copy.
func TestNetworkOfACopy(t *testing.T) {
	vethtest.Run(t, func() error {
		f := newFake(t, nil)
		f.network = &boot.CreateLinksAndRoutesArgs{FDBasedLinks: []boot.FDBasedLink{
			{Name: vethtest.Near, NumChannels: 2},
			{Name: vethtest.Far, NumChannels: 1, GSOMaxSize: 65536},
		}}
		defer f.queues.Close()
		defer f.fence.Remove()
		args, err := f.networkArgs()
		if err != nil {
			return err
		}
		files := args.FilePayload.Files
		defer closeAll(files)
		expect.Equal(t, "sockets", len(files), 3)
		expect.Equal(t, "is a restore", args.IsRestore, true)
		saved := f.network.(*boot.CreateLinksAndRoutesArgs)
		expect.Equal(t, "sockets in the configuration that is kept", len(saved.FilePayload.Files), 0)
		for i, want := range []int{0, 0, 1} {
			header, err := unix.GetsockoptInt(int(files[i].Fd()), unix.SOL_PACKET, unix.PACKET_VNET_HDR)
			if err != nil {
				return err
			}
			expect.Equal(t, "header of offload", header, want)
		}
		far, err := vethtest.Open(t, vethtest.Far)
		if err != nil {
			return err
		}
		near, err := vethtest.Open(t, vethtest.Near)
		if err != nil {
			return err
		}
		if err := vethtest.Settle(near, far); err != nil {
			return err
		}
		expect.Equal(t, "interfaces with unread frames behind the fence", len(f.queues.Unread()), 0)
		if err := f.fence.Lift(); err != nil {
			return err
		}
		if err := vethtest.Settle(near, far); err != nil {
			return err
		}
		expect.Equal(t, "interfaces with unread frames", len(f.queues.Unread()), 2)
		return nil
	})
}

// A configuration that can't be had leaves no sockets.
func TestNetworkThatCantBeHad(t *testing.T) {
	vethtest.Run(t, func() error {
		f := newFake(t, nil)
		f.onLinks(vethtest.Near, "none")
		defer f.queues.Close()
		defer f.fence.Remove()
		if args, err := f.networkArgs(); err == nil {
			closeAll(args.FilePayload.Files)
			t.Error("an interface that isn't there")
		}
		f.network = "a network of another driver"
		if _, err := f.networkArgs(); err == nil {
			t.Error("a configuration of another driver")
		}
		f.network = nil
		args, err := f.networkArgs()
		if args != nil || err != nil {
			t.Errorf("no configuration: %+v, %v", args, err)
		}
		return nil
	})
}

// A copy is fenced where it would disturb a sandbox that runs, or refused.
func TestFenceOfACopy(t *testing.T) {
	none := &boot.CreateLinksAndRoutesArgs{}
	for _, c := range []struct {
		name    string
		network config.Network
		opts    sandbox.BootOptions
		want    error
	}{
		{"not asked for", "host", sandbox.BootOptions{}, nil},
		{"without a network", "none", sandbox.BootOptions{Fenced: true}, nil},
		{"without interfaces", "sandbox", sandbox.BootOptions{Fenced: true, Network: none}, nil},
		{"on the host's stack", "host", sandbox.BootOptions{Fenced: true, Network: none}, sandbox.ErrNotFenced},
		{"the first generation", "sandbox", sandbox.BootOptions{Fenced: true}, sandbox.ErrNotFenced},
		{"another driver's network", "sandbox", sandbox.BootOptions{Fenced: true, Network: 7}, sandbox.ErrNotFenced},
	} {
		c.opts.NetworkStack = c.network
		f, err := newFence(c.opts)
		if !errors.Is(err, c.want) || (f == nil) != (c.want != nil) {
			t.Errorf("%s: %v, %v", c.name, f, err)
		}
	}
	vethtest.Run(t, func() error {
		f := newFake(t, nil)
		f.onLinks(vethtest.Near, vethtest.Far)
		around, err := newFence(sandbox.BootOptions{ID: "test", NetworkStack: config.NetworkSandbox, Fenced: true, Network: f.network})
		if err != nil {
			return err
		}
		return around.Remove()
	})
}
