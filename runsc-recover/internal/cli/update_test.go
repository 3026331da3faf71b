package cli

import (
	"testing"

	"runsc-recover/oci/statedir"
)

func TestUpdateReadsResources(t *testing.T) {
	root := t.TempDir()
	s := &service{}
	makeContainer(t, root, "web", statedir.StatusRunning, s)
	got := commandWith(t, `{"memory":{"limit":5},"pids":{"limit":6}}`, "--root", root, "update", "--resources", "-", "web")
	if got.status != 0 || len(s.asked) != 1 || s.asked[0] != "update 5 6" {
		t.Errorf("%+v, asked %q", got, s.asked)
	}
	for _, args := range [][]string{
		{"--resources", "-"},
		{"--resources", "/does/not/exist"},
		{"--memory", "much"},
		{"--blkio-weight", "5"},
	} {
		got := commandWith(t, "{", append(append([]string{"--root", root, "update"}, args...), "web")...)
		if got.status != 1 || len(s.asked) != 1 {
			t.Errorf("%q: %+v, asked %q", args, got, s.asked)
		}
	}
}
