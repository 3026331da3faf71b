package supervisor

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"runsc-recover/oci"
	"runsc-recover/test/expect"
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
		expect.Equal(t, c.name, mode, c.mode)
		expect.Equal(t, c.name+": says why", strings.Contains(why, c.why), true)
		expect.Equal(t, c.name+": a reason", why != "", c.why != "")
		expect.Equal(t, c.name+": refused", errors.Is(err, &oci.Error{Code: oci.CodeNetworkTaken}), c.refused)
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
		expect.Equal(t, "first", mode, "sandbox")
		expect.Equal(t, "first", err, nil)
		other := netMember{pid: 2, id: strings.Repeat("x", 200)}
		_, _, err = second.claimNetwork("sandbox", plan, other)
		expect.Equal(t, "second", oci.CodeOf(err), oci.CodeNetworkTaken)
		_, _, err = second.claimNetwork("host", plan, other)
		expect.Equal(t, "second on the host's stack", oci.CodeOf(err), oci.CodeNetworkTaken)
		for name := range first.held {
			first.drop(name)
		}
		mode, why, err := first.claimNetwork("sandbox", plan, self)
		expect.Equal(t, "mode beside one on the host's stack", mode, "host")
		expect.Equal(t, "a reason", why != "", true)
		expect.Equal(t, "error", err, nil)
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
		expect.Equal(t, "the dead's", dead.hold(ownerClaim), nil)
		expect.Equal(t, "its name", dead.hold(netMember{mode: "sandbox", pid: 1 << 30, id: "dead"}.name()), nil)
		time.AfterFunc(3*gonePoll, func() { dead.drop(ownerClaim) })
		expect.Equal(t, "inherited", heir.inherit(ownerClaim), nil)
		heir.drop(ownerClaim)

		expect.Equal(t, "the living's", living.hold(ownerClaim), nil)
		expect.Equal(t, "its name", living.hold(netMember{mode: "sandbox", pid: os.Getpid(), id: "living"}.name()), nil)
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
		expect.Equal(t, path, netPlan{path: path}.process(), pid)
	}
}
