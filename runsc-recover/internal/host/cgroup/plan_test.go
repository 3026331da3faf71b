package cgroup

import (
	"testing"

	"github.com/opencontainers/cgroups"

	"runsc-recover/test/expect"
)

func TestScopesAreParsed(t *testing.T) {
	for path, want := range map[string]scope{
		"machine.slice:libpod:abc": {"machine.slice", "libpod", "abc"},
		"::abc":                    {"system.slice", "", "abc"},
		"a-b.slice:cri-x:c-d":      {"a-b.slice", "cri-x", "c-d"},
	} {
		got, err := parseScope(path)
		expect.Equal(t, path+": error", err, nil)
		expect.Equal(t, path, got, want)
	}
	for _, bad := range []string{"", "/a/b", "a:b", "a:b:", "a:b:c.slice", "a:b:c:d", "a--b.slice:p:n", "a/b.slice:p:n", "user:p:n"} {
		if _, err := parseScope(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestPlaces(t *testing.T) {
	for _, c := range []struct {
		name, want, unit string
		request          Request
	}{
		{"the spec's", "/a/b", "", Request{Path: "a/b", ID: "web"}},
		{"no way out", "/b", "", Request{Path: "../../b", ID: "web"}},
		{"runc's", "/web", "", Request{ID: "web"}},
		{"systemd's", "p-n.scope", "p-n.scope", Request{Path: "s.slice:p:n", ID: "web", Systemd: true}},
		{"systemd's by default", "runsc-recover-web.scope", "runsc-recover-web.scope", Request{ID: "web", Systemd: true}},
	} {
		p := Plan{config: &cgroups.Cgroup{}}
		expect.Equal(t, c.name+": error", p.locate(c.request), nil)
		expect.Equal(t, c.name, p.name, c.want)
		expect.Equal(t, c.name+": unit", p.Unit, c.unit)
	}
}
