package specconv

import (
	"encoding/json"
	"fmt"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// forGVisor returns a copy of a spec that means the same to gVisor as the spec
// means to other runtimes. Paths are absolute, as from the directory bundle. Hooks are left out,
// since they run once for the container and not in each generation. Errors:
// errdefs.CodeUnsupported.
func forGVisor(spec *specs.Spec, bundle string) (*specs.Spec, error) {
	out, err := clone(spec)
	if err != nil {
		return nil, err
	}
	out.Hooks = nil
	forgetPod(out)
	if out.Root != nil && !filepath.IsAbs(out.Root.Path) {
		out.Root.Path = filepath.Join(bundle, out.Root.Path)
	}
	adaptMounts(out.Mounts, bundle)
	if out.Linux != nil {
		if out.Linux.Seccomp, err = adaptSeccomp(out.Linux.Seccomp); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// clone is a deep copy, by way of the text.
func clone(spec *specs.Spec) (*specs.Spec, error) {
	text, err := json.Marshal(spec)
	if err != nil {
		return nil, fmt.Errorf("encode the spec: %w", err)
	}
	out := new(specs.Spec)
	if err := json.Unmarshal(text, out); err != nil {
		return nil, fmt.Errorf("copy the spec: %w", err)
	}
	return out, nil
}

// forgetPod removes the annotations by which gVisor would look for the sandbox
// of the container's pod: each container is in a sandbox of its own here.
func forgetPod(spec *specs.Spec) {
	for _, name := range []string{
		containerdType, "io.kubernetes.cri.sandbox-id",
		crioType, "io.kubernetes.cri-o.SandboxID",
	} {
		delete(spec.Annotations, name)
	}
}
