package specconv

import (
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// WithHostname gives a spec without a host name that of the namespace which the
// container shares, since a sandbox has one of its own: the host's, or that of
// a pod, which engines put into the environment.
func WithHostname(spec *specs.Spec, host func() (string, error)) *specs.Spec {
	if spec.Hostname != "" || spec.Linux == nil {
		return spec
	}
	i := slices.IndexFunc(spec.Linux.Namespaces, func(ns specs.LinuxNamespace) bool { return ns.Type == specs.UTSNamespace })
	name := ""
	switch {
	case i < 0:
		name, _ = host() // or none, as before
	case spec.Linux.Namespaces[i].Path != "":
		name = environment(spec.Process.Env, "HOSTNAME")
	}
	out := *spec
	out.Hostname = name
	return &out
}

// environment is the value of a variable; the last one counts.
func environment(env []string, name string) string {
	for _, v := range slices.Backward(env) {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return ""
}
