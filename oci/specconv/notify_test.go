package specconv

import (
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/oci/statedir"
	"runsc-recover/test/expect"
)

func TestSocketsAreReachedForReadinessAlone(t *testing.T) {
	of := func(env string, mounts ...specs.Mount) *specs.Spec {
		return &specs.Spec{Process: &specs.Process{Env: []string{"A=b", env}}, Mounts: mounts}
	}
	bind := specs.Mount{Destination: "/run/notify", Type: "bind"}
	expect.Equal(t, "in a bind mount", ReachesSockets(of("NOTIFY_SOCKET=/run/notify/s", bind)), true)
	expect.Equal(t, "the mount itself", ReachesSockets(of("NOTIFY_SOCKET=/run/notify", bind)), true)
	expect.Equal(t, "elsewhere", ReachesSockets(of("NOTIFY_SOCKET=/run/other/s", bind)), false)
	expect.Equal(t, "abstract", ReachesSockets(of("NOTIFY_SOCKET=@s", bind)), false)
	expect.Equal(t, "in a tmpfs", ReachesSockets(of("NOTIFY_SOCKET=/run/notify/s", specs.Mount{Destination: "/run", Type: "tmpfs"})), false)
	expect.Equal(t, "not asked for", ReachesSockets(of("C=d", bind)), false)
	ours := of("C=d")
	addNotifySocket(ours, statedir.ContainerDir("/root", "web"))
	expect.Equal(t, "ours", ReachesSockets(ours), true)
}
