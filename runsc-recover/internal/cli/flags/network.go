package flags

import (
	"runsc-recover/checkpoint/config"
	"runsc-recover/oci/errdefs"
)

const NetworkUsage = "network stack: sandbox (gVisor's own), host (the host's, or that of the container's namespace) or none"

// CheckNetwork refuses a network stack that there isn't. The name is where it
// was asked for.
func CheckNetwork(name, value string) error {
	if !config.Network(value).Valid() {
		return errdefs.Errorf(errdefs.CodeRequest, "%s is %q, allowed are %q", name, value, config.Networks())
	}
	return nil
}
