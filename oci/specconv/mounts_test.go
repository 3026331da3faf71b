package specconv

import (
	"reflect"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestAdaptMounts(t *testing.T) {
	mounts := []specs.Mount{
		{Destination: "/a", Source: "rel", Type: "none", Options: []string{"rbind", "rro", "rslave"}},
		{Destination: "/b", Source: "/abs", Type: "bind", Options: []string{"bind", "rw", "relatime", "rnoexec"}},
		{Destination: "/c", Source: "tmpfs", Type: "tmpfs", Options: []string{"ro", "rprivate"}},
	}
	want := []specs.Mount{
		{Destination: "/a", Source: "/bundle/rel", Type: "bind", Options: []string{"rbind", "ro", "rslave"}},
		{Destination: "/b", Source: "/abs", Type: "bind", Options: []string{"bind", "rw", "relatime", "noexec"}},
		{Destination: "/c", Source: "tmpfs", Type: "tmpfs", Options: []string{"ro", "rprivate"}},
	}
	if adaptMounts(mounts, "/bundle"); !reflect.DeepEqual(mounts, want) {
		t.Errorf("got %+v", mounts)
	}
}
