package supervisor

// The modes of gVisor's network.
const (
	networkSandbox = "sandbox"
	networkHost    = "host"
	networkNone    = "none"
)
