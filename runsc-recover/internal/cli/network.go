package cli

import (
	"runsc-recover/checkpoint/config"
	"runsc-recover/oci/errdefs"
)

const networkUsage = "network stack: sandbox (gVisor's own), host (the host's, or that of the container's namespace) or none"

// checkNetwork refuses a network stack that there isn't. The name is where it
// was asked for.
func checkNetwork(name, value string) error {
	if !config.Network(value).Valid() {
		return errdefs.Errorf(errdefs.CodeRequest, "%s is %q, allowed are %q", name, value, config.Networks())
	}
	return nil
}

// networkOf is the network stack that a container's annotation asks for, or
// else the default.
func networkOf(annotations map[string]string, byDefault string) (config.Network, error) {
	value, ok := annotations[config.NetworkAnnotation]
	if !ok {
		return config.Network(byDefault), nil
	}
	if err := checkNetwork(config.NetworkAnnotation, value); err != nil {
		return "", errdefs.Errorf(errdefs.CodeAnnotation, "read configuration: %w", err)
	}
	return config.Network(value), nil
}
