package save

import (
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"gvisor.dev/gvisor/pkg/sentry/kernel"
	"gvisor.dev/gvisor/pkg/state/statefile"
	"gvisor.dev/gvisor/runsc/boot"
	"gvisor.dev/gvisor/runsc/specutils"
	"gvisor.dev/gvisor/runsc/version"
)

// networkKey is the metadata key of the network mode, which gVisor's boot
// package doesn't export.
const networkKey = "network"

// metadata returns the state file's metadata: gVisor's restore reads it before
// the kernel. Errors: ErrMetadata.
func metadata(k *kernel.Kernel, networkMode string) (map[string]string, error) {
	loader, ok := k.Saver().(interface {
		GetContainerSpecs() map[string]*specs.Spec
	})
	if !ok {
		return nil, fmt.Errorf("%w: the kernel has no loader", ErrMetadata)
	}
	containers := loader.GetContainerSpecs()
	text, err := specutils.ConvertSpecsToString(containers)
	if err != nil {
		return nil, fmt.Errorf("%w: encode the containers' specs: %w", ErrMetadata, err)
	}
	meta := statefile.CompressionLevelNone.ToMetadata()
	meta[boot.ContainerCountKey] = fmt.Sprint(len(containers))
	meta[boot.ContainerSpecsKey] = text
	meta[boot.VersionKey] = version.Version()
	meta[networkKey] = networkMode
	return meta, nil
}
