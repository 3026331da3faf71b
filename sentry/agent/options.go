package agent

import (
	"encoding/json"
	"fmt"
)

// Options are the supervisor's settings for the agent. They travel at boot, in
// the sink's configuration.
type Options struct {
	// FD is the supervisor's descriptor of the agent's end of the channel. It
	// has a meaning only in the process that creates the sandbox.
	FD int `json:"fd"`
	// Enabled is false where no failure is ever recovered from.
	Enabled bool `json:"enabled"`
	// Report, Signal and Exit are the causes of failure for which the sandbox is
	// stopped.
	Report bool `json:"report"`
	Signal bool `json:"signal"`
	Exit   bool `json:"exit"`
	// Interrupt is the container's default failure interrupt.
	Interrupt int `json:"interrupt"`
	// Network is gVisor's network mode, which a checkpoint's metadata names.
	Network string `json:"network"`
	// Container is the name of the sandbox's container.
	Container string `json:"container"`
	// Resolver has the supervisor answer the program's queries to 127.0.0.11,
	// where docker has a resolver on the host's stack.
	Resolver bool `json:"resolver"`
}

// decodeOptions turns gVisor's opaque configuration back into Options.
func decodeOptions(config map[string]any) (Options, error) {
	b, err := json.Marshal(config)
	if err != nil {
		return Options{}, fmt.Errorf("encode the sink's configuration: %w", err)
	}
	var o Options
	if err := json.Unmarshal(b, &o); err != nil {
		return Options{}, fmt.Errorf("decode the sink's configuration: %w", err)
	}
	return o, nil
}
