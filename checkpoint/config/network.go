package config

import "slices"

// Network is the network stack that a container uses. It isn't part of Config,
// which state.json keeps: it may be settled in another way each time that the
// container is made.
type Network string

// The network stacks.
const (
	NetworkSandbox Network = "sandbox" // gVisor's own, in the sandbox
	NetworkHost    Network = "host"    // the kernel's, in the container's namespace
	NetworkNone    Network = "none"    // a loopback interface alone
)

// NetworkAnnotation chooses a container's network stack.
const NetworkAnnotation = AnnotationPrefix + "network"

// Networks lists the network stacks, in the order of the documentation.
func Networks() []Network { return []Network{NetworkSandbox, NetworkNone, NetworkHost} }

// Valid reports whether there is such a network stack.
func (n Network) Valid() bool { return slices.Contains(Networks(), n) }
