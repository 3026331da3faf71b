package specconv

import (
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/test/expect"
)

func TestHostname(t *testing.T) {
	host := func() (string, error) { return "host", nil }
	for _, c := range []struct {
		name, hostname string
		namespaces     []specs.LinuxNamespace
		want           string
	}{
		{"its own", "web", nil, "web"},
		{"the host's", "", nil, "host"},
		{"none", "", []specs.LinuxNamespace{{Type: specs.UTSNamespace}}, ""},
		{"a pod's", "", []specs.LinuxNamespace{{Type: specs.UTSNamespace, Path: "/proc/1/ns/uts"}}, "pod"},
	} {
		spec := &specs.Spec{
			Hostname: c.hostname,
			Process:  &specs.Process{Env: []string{"HOSTNAME=old", "A=b", "HOSTNAME=pod"}},
			Linux:    &specs.Linux{Namespaces: c.namespaces},
		}
		expect.Equal(t, c.name, withHostname(spec, host).Hostname, c.want)
		expect.Equal(t, c.name+": the bundle's stays", spec.Hostname, c.hostname)
	}
}
