package netns

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"runsc-recover/oci/statedir"
	"runsc-recover/test/expect"
)

func snapshotDir(t *testing.T, text string) statedir.Dir {
	t.Helper()
	dir := statedir.ContainerDir(t.TempDir(), "web")
	if err := os.Mkdir(string(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir.NetworkFile(), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestSnapshotIsKept(t *testing.T) {
	dir := snapshotDir(t, "")
	want := Snapshot{Path: "/run/netns/a", Inode: 7, Links: []netLink{{
		Name: "eth0", Addresses: []string{"10.0.0.2/24", "fd00::2/64"},
		Routes: []netRoute{{Destination: "10.1.0.0/16", Scope: 253}, {Gateway: []byte{10, 0, 0, 1}, MTU: 1400}},
	}}}
	expect.Equal(t, "save", want.Save(dir), nil)
	got, err := load(dir)
	expect.Equal(t, "load", err, nil)
	for i := range got.Links[0].Routes { // an address has two forms
		got.Links[0].Routes[i].Gateway = got.Links[0].Routes[i].Gateway.To4()
	}
	expect.Equal(t, "snapshot", reflect.DeepEqual(got, want), true)
}

func TestDamagedSnapshots(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "cut": `{"path":"/run/net`, "no object": `[]`, "an inode in words": `{"inode":"x"}`,
		"an address that is none": `{"links":[{"routes":[{"gateway":"10.0.0"}]}]}`,
		"too large":               `{"path":"` + strings.Repeat("x", maxSnapshot) + `"}`,
	} {
		if err := PutBackSaved(snapshotDir(t, text)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// A namespace that is gone, or whose path means another one now, is left alone.
func TestSnapshotsOfOthersNamespaces(t *testing.T) {
	none := statedir.ContainerDir(t.TempDir(), "web")
	expect.Equal(t, "no snapshot", PutBackSaved(none), nil)
	gone := snapshotDir(t, `{"path":"`+filepath.Join(t.TempDir(), "gone")+`","inode":7}`)
	expect.Equal(t, "namespace that is gone", PutBackSaved(gone), nil)
	if os.Geteuid() == 0 { // others may not enter the namespace
		other := snapshotDir(t, `{"path":"/proc/self/ns/net","inode":1,"links":[{"name":"nosuch0"}]}`)
		expect.Equal(t, "another namespace", PutBackSaved(other), nil)
	}
}

func TestRoutesAndAddressesThatAreNone(t *testing.T) {
	expect.Equal(t, "no such interface", Snapshot{Links: []netLink{{Name: "nosuch0"}}}.PutBack() != nil, true)
	expect.Equal(t, "address", netLink{Name: "lo", Addresses: []string{"localhost"}}.putBack() != nil, true)
	expect.Equal(t, "route", netRoute{Destination: "10.0.0.0"}.putBack(1) != nil, true)
}
