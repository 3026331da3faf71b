package supervisor

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"runsc-recover/oci"
)

func TestNetworkIsSettled(t *testing.T) {
	member := func(mode string) netMember { return netMember{mode: mode, pid: 7, id: "other"} }
	for _, c := range []struct {
		name    string
		in      joined
		mode    string
		why     string
		refused bool
	}{
		{"alone", joined{}, "sandbox", "", false},
		{"in a pod", joined{members: []netMember{member("none")}, ofProcess: 7}, "sandbox", "", false},
		{"in another's that has a stack of its own", joined{members: []netMember{member("sandbox")}, ofProcess: 7}, "", "", true},
		{"in a pod whose first has one", joined{members: []netMember{member("none"), {"sandbox", 8, "first"}}, ofProcess: 7}, "", "", true},
		{"in a pod on the host's stack", joined{members: []netMember{member("none"), {"host", 8, "first"}}, ofProcess: 7}, "host", "first", false},
		{"in a namespace of another runtime's", joined{ofProcess: 7}, "host", "process 7", false},
	} {
		mode, why, err := c.in.settle()
		expect(t, c.name, mode, c.mode)
		expect(t, c.name+": says why", strings.Contains(why, c.why), true)
		expect(t, c.name+": a reason", why != "", c.why != "")
		expect(t, c.name+": refused", errors.Is(err, &oci.Error{Code: oci.CodeNetworkTaken}), c.refused)
	}
}

func TestMembersAreRead(t *testing.T) {
	members, err := parseMembers(strings.NewReader(`Num       RefCount Protocol Flags    Type St Inode Path
ffff: 00000002 00000000 00000000 0002 01 1 @runsc-recover/network/owner
ffff: 00000002 00000000 00000000 0002 01 2 @runsc-recover/network/sandbox/12/web/1
ffff: 00000002 00000000 00000000 0002 01 3 @runsc-recover/network/sandbox/x/web
ffff: 00000002 00000000 00000000 0002 01 4 /run/runsc-recover/network/host/3/a
ffff: 00000002 00000000 00000000 0002 01 5
`))
	if err != nil {
		t.Fatal(err)
	}
	if len(members) != 1 || members[0] != (netMember{"sandbox", 12, "web/1"}) {
		t.Errorf("got %+v", members)
	}
}

func TestClaims(t *testing.T) {
	var first, second claims
	plan := netPlan{own: os.Geteuid() == 0} // without privileges, in the caller's
	if err := inNetNS(plan, func() error {
		self := netMember{pid: 1, id: "first"}
		mode, _, err := first.claimNetwork("sandbox", plan, self)
		expect(t, "first", mode, "sandbox")
		expect(t, "first", err, nil)
		other := netMember{pid: 2, id: strings.Repeat("x", 200)}
		_, _, err = second.claimNetwork("sandbox", plan, other)
		expect(t, "second", oci.CodeOf(err), oci.CodeNetworkTaken)
		_, _, err = second.claimNetwork("host", plan, other)
		expect(t, "second on the host's stack", oci.CodeOf(err), oci.CodeNetworkTaken)
		for name := range first.held {
			first.drop(name)
		}
		mode, why, err := first.claimNetwork("sandbox", plan, self)
		expect(t, "mode beside one on the host's stack", mode, "host")
		expect(t, "a reason", why != "", true)
		expect(t, "error", err, nil)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// TestClaimOfTheDead: a name that outlives its supervisor for a moment is had
// when it is free, one of a supervisor that lives is not.
func TestClaimOfTheDead(t *testing.T) {
	plan := netPlan{own: os.Geteuid() == 0}
	if err := inNetNS(plan, func() error {
		var dead, living, heir claims
		expect(t, "the dead's", dead.hold(ownerClaim), nil)
		expect(t, "its name", dead.hold(netMember{mode: "sandbox", pid: 1 << 30, id: "dead"}.name()), nil)
		time.AfterFunc(3*gonePoll, func() { dead.drop(ownerClaim) })
		expect(t, "inherited", heir.inherit(ownerClaim), nil)
		heir.drop(ownerClaim)

		expect(t, "the living's", living.hold(ownerClaim), nil)
		expect(t, "its name", living.hold(netMember{mode: "sandbox", pid: os.Getpid(), id: "living"}.name()), nil)
		if err := heir.inherit(ownerClaim); !errors.Is(err, unix.EADDRINUSE) {
			t.Errorf("the name of one that lives: %v", err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestNamespaceOfProcess(t *testing.T) {
	for path, pid := range map[string]int{
		"": 0, "/proc/12/ns/net": 12, "/proc/self/ns/net": 0, "/run/netns/a": 0, "/proc/12/ns/ipc": 0,
	} {
		expect(t, path, netPlan{path: path}.process(), pid)
	}
}

func TestPodHolder(t *testing.T) {
	of := func(kind string, args ...string) *specs.Spec {
		return &specs.Spec{Process: &specs.Process{Args: args}, Annotations: map[string]string{"io.kubernetes.cri.container-type": kind}}
	}
	expect(t, "pause", isInfra(of("sandbox", "/pause")), true)
	expect(t, "app", isInfra(of("container", "web")), false)
	expect(t, "podman's", isInfra(of("", "/catatonit", "-P")), true)
	expect(t, "podman's init", isInfra(of("", "/catatonit", "--", "web")), false)
}

func TestWarnings(t *testing.T) {
	spec := &specs.Spec{
		Mounts: []specs.Mount{{Source: "/run/a.sock"}, {Source: "/srv"}},
		Linux: &specs.Linux{
			Devices:   []specs.LinuxDevice{{Path: "/dev/fuse"}, {Path: "/dev/kvm"}},
			Resources: &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: 20}},
		},
	}
	got := strings.Join(specWarnings(spec, func(path string) bool { return path == "/run/a.sock" }), "\n")
	for _, want := range []string{"/run/a.sock", "/dev/fuse, /dev/kvm", "limit of 20"} {
		expect(t, want, strings.Contains(got, want), true)
	}
	expect(t, "lines", strings.Count(got, "\n"), 2)
	expect(t, "none", len(specWarnings(&specs.Spec{Linux: &specs.Linux{}}, isSocket)), 0)
}
