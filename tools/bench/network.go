package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// network is a network namespace for a container, with a cable to the host.
type network struct {
	namespace, hostEnd string
	guestAddress       string
}

// newNetwork makes the number-th network, from the range that is kept for
// benchmarks. The caller must remove it.
func newNetwork(ctx context.Context, number int) (*network, error) {
	n := &network{
		namespace:    fmt.Sprintf("rrb-%d-%d", os.Getpid(), number),
		hostEnd:      fmt.Sprintf("rrb%d-%d", os.Getpid(), number),
		guestAddress: fmt.Sprintf("198.18.%d.2", number),
	}
	for _, args := range []string{
		"netns add " + n.namespace,
		"link add " + n.hostEnd + " type veth peer name eth0 netns " + n.namespace,
		fmt.Sprintf("addr add 198.18.%d.1/30 dev %s", number, n.hostEnd),
		"link set " + n.hostEnd + " up",
		"-n " + n.namespace + " addr add " + n.guestAddress + "/30 dev eth0",
		"-n " + n.namespace + " link set eth0 up",
		"-n " + n.namespace + " link set lo up",
	} {
		if err := ip(ctx, args); err != nil {
			return nil, errors.Join(err, n.remove())
		}
	}
	return n, nil
}

// path is where the namespace can be joined.
func (n *network) path() string { return filepath.Join("/run/netns", n.namespace) }

// remove works after an interrupt, too. The namespace alone would take the
// cable with it, but only some time later.
func (n *network) remove() error {
	ctx := context.Background()
	return errors.Join(ip(ctx, "link del "+n.hostEnd), ip(ctx, "netns del "+n.namespace))
}

func ip(ctx context.Context, args string) error {
	if out, err := exec.CommandContext(ctx, "ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", args, err, out)
	}
	return nil
}
