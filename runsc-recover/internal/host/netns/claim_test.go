package netns

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"runsc-recover/checkpoint/config"
	"runsc-recover/oci/errdefs"
	"runsc-recover/oci/statedir"
	"runsc-recover/test/expect"
)

func TestNetworkIsSettled(t *testing.T) {
	member := func(mode config.Network) Member { return Member{mode: mode, Pid: 7, ID: "other"} }
	for _, c := range []struct {
		name    string
		in      joined
		mode    config.Network
		why     string
		refused bool
	}{
		{"alone", joined{}, "sandbox", "", false},
		{"in a pod", joined{members: []Member{member("none")}, ofProcess: 7}, "sandbox", "", false},
		{"in another's that has a stack of its own", joined{members: []Member{member("sandbox")}, ofProcess: 7}, "", "", true},
		{"in a pod whose first has one", joined{members: []Member{member("none"), {"sandbox", 8, "first"}}, ofProcess: 7}, "", "", true},
		{"in a pod on the host's stack", joined{members: []Member{member("none"), {"host", 8, "first"}}, ofProcess: 7}, "host", "first", false},
		{"in a namespace of another runtime's", joined{ofProcess: 7}, "host", "process 7", false},
	} {
		mode, why, err := c.in.settle()
		expect.Equal(t, c.name, mode, c.mode)
		expect.Equal(t, c.name+": says why", strings.Contains(why, c.why), true)
		expect.Equal(t, c.name+": a reason", why != "", c.why != "")
		expect.Equal(t, c.name+": refused", errors.Is(err, &errdefs.Error{Code: errdefs.CodeNetworkTaken}), c.refused)
	}
}

func TestMembersAreRead(t *testing.T) {
	members, err := parseMembers(strings.NewReader(`Num       RefCount Protocol Flags    Type St Inode Path
ffff: 00000002 00000000 00000000 0002 01 1 @runsc-recover/network/owner
ffff: 00000002 00000000 00000000 0002 01 2 @runsc-recover/network/sandbox/12/web.1
ffff: 00000002 00000000 00000000 0002 01 3 @runsc-recover/network/none/13/pause
ffff: 00000002 00000000 00000000 0002 01 4 /run/runsc-recover/network/host/3/a
ffff: 00000002 00000000 00000000 0002 01 5
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []Member{{"sandbox", 12, "web.1"}, {"none", 13, "pause"}}
	expect.Equal(t, "members", slices.Equal(members, want), true)
}

// Names that no supervisor holds are those of other users.
func TestForeignNamesAreNoMembers(t *testing.T) {
	for _, claim := range []string{
		"", "/", "//", "sandbox", "sandbox/1", "sandbox/1/", "sandbox//web", "sandbox/x/web", "sandbox/0/web", "sandbox/-1/web",
		"sandbox/99999999999999999999/web", "bridge/1/web", "SANDBOX/1/web", "/1/web", "sandbox/1/web/1", "sandbox/1/..",
		"sandbox/1/web x", "sandbox/1/\x1b[2J", "host/1/" + strings.Repeat("x", 256), "host/1/web@",
	} {
		if m, ok := parseMember(claim); ok {
			t.Errorf("%q is member %+v", claim, m)
		}
	}
}

func FuzzMembers(f *testing.F) {
	f.Add("ffff: 2 0 0 2 1 1 @runsc-recover/network/host/7/web\nx @runsc-recover/network/none/8/a")
	f.Add("@runsc-recover/network/")
	f.Fuzz(func(t *testing.T, text string) {
		members, _ := parseMembers(strings.NewReader(text))
		for _, m := range members {
			if m.Pid <= 0 || !m.mode.Valid() || statedir.ValidateID(m.ID) != nil {
				t.Errorf("%q gives %+v", text, m)
			}
			if again, ok := parseMember(strings.TrimPrefix(m.name(), claimPrefix)); len(m.name()) < maxClaim && (!ok || again != m) {
				t.Errorf("%+v is written as %q", m, m.name())
			}
		}
	})
}

func TestClaims(t *testing.T) {
	var first, second Claims
	plan := Plan{Own: os.Geteuid() == 0} // without privileges, in the caller's
	if err := In(plan, func() error {
		self := Member{Pid: 1, ID: "first"}
		mode, _, err := first.Network("sandbox", plan, self)
		expect.Equal(t, "first", mode, "sandbox")
		expect.Equal(t, "first", err, nil)
		other := Member{Pid: 2, ID: strings.Repeat("x", 200)}
		_, _, err = second.Network("sandbox", plan, other)
		expect.Equal(t, "second", errdefs.CodeOf(err), errdefs.CodeNetworkTaken)
		_, _, err = second.Network("host", plan, other)
		expect.Equal(t, "second on the host's stack", errdefs.CodeOf(err), errdefs.CodeNetworkTaken)
		for name := range first.held {
			first.drop(name)
		}
		mode, why, err := first.Network("sandbox", plan, self)
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
	plan := Plan{Own: os.Geteuid() == 0}
	if err := In(plan, func() error {
		var dead, living, heir Claims
		expect.Equal(t, "the dead's", dead.hold(ownerClaim), nil)
		expect.Equal(t, "its name", dead.hold(Member{mode: "sandbox", Pid: 1 << 30, ID: "dead"}.name()), nil)
		time.AfterFunc(3*inheritPoll, func() { dead.drop(ownerClaim) })
		expect.Equal(t, "inherited", heir.inherit(ownerClaim), nil)
		heir.drop(ownerClaim)

		expect.Equal(t, "the living's", living.hold(ownerClaim), nil)
		expect.Equal(t, "its name", living.hold(Member{mode: "sandbox", Pid: os.Getpid(), ID: "living"}.name()), nil)
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
		expect.Equal(t, path, Plan{Path: path}.process(), pid)
	}
}
