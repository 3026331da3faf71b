package cgroup

import (
	"testing"

	"runsc-recover/test/expect"
)

func TestSystemdPaths(t *testing.T) {
	slice, unit, err := parseSystemdPath("machine.slice:libpod:abc")
	if err != nil || slice != "machine.slice" || unit != "libpod-abc.scope" {
		t.Errorf("got %q %q %v", slice, unit, err)
	}
	slice, unit, err = parseSystemdPath("::abc")
	if err != nil || slice != "system.slice" || unit != "-abc.scope" {
		t.Errorf("got %q %q %v", slice, unit, err)
	}
	for _, bad := range []string{"/a/b", "a:b", "a:b:", "a:b:c.slice"} {
		if _, _, err := parseSystemdPath(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	for slice, want := range map[string]string{
		"-.slice":       "/",
		"a.slice":       "/a.slice",
		"a-b-c.slice":   "/a.slice/a-b.slice/a-b-c.slice",
		"machine.slice": "/machine.slice",
	} {
		expect.Equal(t, slice, expandSlice(slice), want)
	}
}
