package netns

// The modes of gVisor's network.
const (
	ModeSandbox = "sandbox"
	ModeHost    = "host"
	ModeNone    = "none"
)
