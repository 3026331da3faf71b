package specconv

import (
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// withHostname gives a spec without a host name that of the namespace which the
// container shares, since a sandbox has a namespace of its own: the host's name, or
// that of a pod, which engines put into the environment.
func withHostname(spec *specs.Spec, host func() (string, error)) *specs.Spec {
	if spec.Hostname != "" || spec.Linux == nil {
		return spec
	}
	i := slices.IndexFunc(spec.Linux.Namespaces, func(ns specs.LinuxNamespace) bool { return ns.Type == specs.UTSNamespace })
	name := ""
	switch {
	case i < 0:
		name, _ = host() // or no name
	case spec.Linux.Namespaces[i].Path != "":
		name = environment(spec.Process.Env, "HOSTNAME")
	}
	out := *spec
	out.Hostname = name
	return &out
}

// environment returns the value of a variable; the last that is set counts.
func environment(env []string, name string) string {
	for _, v := range slices.Backward(env) {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return ""
}
