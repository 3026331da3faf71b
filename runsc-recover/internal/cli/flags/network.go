package flags

import (
	"runsc-recover/checkpoint/config"
	"runsc-recover/oci/errdefs"
)

// NetworkUsage describes the options that choose a network stack.
const NetworkUsage = "network stack: sandbox (gVisor's own), host (the host's, or that of the container's namespace) or none"

// CheckNetwork refuses a value of --network that names no network stack.
func CheckNetwork(value string) error {
	if !config.Network(value).Valid() {
		return errdefs.Errorf(errdefs.CodeRequest, "--network is %q, allowed are %q", value, config.Networks())
	}
	return nil
}
