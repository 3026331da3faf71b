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

// NetworkOf is the network stack that a container's annotation asks for, or
// else the default.
func NetworkOf(annotations map[string]string, byDefault string) (config.Network, error) {
	value, ok := annotations[config.NetworkAnnotation]
	if !ok {
		return config.Network(byDefault), nil
	}
	if err := CheckNetwork(config.NetworkAnnotation, value); err != nil {
		return "", errdefs.Errorf(errdefs.CodeAnnotation, "read configuration: %w", err)
	}
	return config.Network(value), nil
}
