package cli

import (
	"maps"
	"slices"

	"runsc-recover/checkpoint/config"
	"runsc-recover/oci/errdefs"
)

// networkAnnotation chooses a container's network stack.
const networkAnnotation = config.AnnotationPrefix + "network"

const networkUsage = "network stack: sandbox (gVisor's own), host (the host's, or that of the container's namespace) or none"

// checkNetwork refuses a network stack that there isn't. The name is where it
// was asked for.
func checkNetwork(name, value string) error {
	if words := []string{"sandbox", "none", "host"}; !slices.Contains(words, value) {
		return errdefs.Errorf(errdefs.CodeRequest, "%s is %q, allowed are %q", name, value, words)
	}
	return nil
}

// networkOf is the network stack that a container's annotation asks for, or
// else the default.
func networkOf(annotations map[string]string, byDefault string) (string, error) {
	value, ok := annotations[networkAnnotation]
	if !ok {
		return byDefault, nil
	}
	if err := checkNetwork(networkAnnotation, value); err != nil {
		return "", errdefs.Errorf(errdefs.CodeAnnotation, "read configuration: %w", err)
	}
	return value, nil
}

// withoutNetwork are the annotations that say how a container is protected.
func withoutNetwork(annotations map[string]string) map[string]string {
	out := maps.Clone(annotations)
	delete(out, networkAnnotation)
	return out
}
