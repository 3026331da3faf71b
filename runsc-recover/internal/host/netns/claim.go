package netns

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"runsc-recover/checkpoint/config"
	"runsc-recover/oci/errdefs"
	"runsc-recover/oci/statedir"
)

// Containers that share a network namespace find each other by names which
// their supervisors hold in it: abstract unix sockets, which belong to the
// namespace and go with their holder.
//
//	runsc-recover/network/owner             its sandbox has taken the addresses; there can be one
//	runsc-recover/network/MODE/PID/ID       every supervisor in the namespace
//
// A supervisor announces itself first and looks at the others then, so that of
// two that come at once at least one sees the other.
//
// Any user of the host can hold any such name. Names that no supervisor would
// hold are left out; by the others a user can refuse a namespace to containers,
// as by taking its ports, and no more.
const (
	claimPrefix = "runsc-recover/network/"
	ownerClaim  = claimPrefix + "owner"
	maxClaim    = 106 // of an abstract socket's name, in bytes
	// inheritTime is how long a process that was killed may hold a claim, and
	// inheritPoll the time between two attempts to take that.
	inheritTime = 5 * time.Second
	inheritPoll = 10 * time.Millisecond
)

// Member is a container in a network namespace.
type Member struct {
	mode config.Network
	Pid  int    // its supervisor's
	ID   string // the container's, cut where a socket's name ends
}

func (m Member) name() string {
	name := fmt.Sprintf("%s%s/%d/%s", claimPrefix, m.mode, m.Pid, m.ID)
	return name[:min(len(name), maxClaim)]
}

// Claims are the names that a supervisor holds, until it ends.
type Claims struct {
	held map[string]*os.File
}

// hold takes a name in the calling thread's network namespace, unless another
// process has it. Errors: unix.EADDRINUSE.
func (c *Claims) hold(name string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open socket for a claim: %w", err)
	}
	f := os.NewFile(uintptr(fd), name)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: "@" + name}); err != nil {
		f.Close()
		return fmt.Errorf("claim %s: %w", name, err)
	}
	if c.held == nil {
		c.held = make(map[string]*os.File)
	}
	c.held[name] = f
	return nil
}

// inherit takes a name from a supervisor that was killed. A process that the
// supervisor was about to start may hold the name until it is killed too: then no
// other container is in the namespace. Errors: unix.EADDRINUSE.
func (c *Claims) inherit(name string) error {
	for deadline := time.Now().Add(inheritTime); ; time.Sleep(inheritPoll) {
		err := c.hold(name)
		if !errors.Is(err, unix.EADDRINUSE) || time.Now().After(deadline) {
			return err
		}
		members, listErr := members()
		if listErr != nil {
			return listErr
		}
		if slices.ContainsFunc(members, Member.alive) {
			return err
		}
	}
}

func (m Member) alive() bool {
	p, err := statedir.FindProcess(m.Pid)
	return err == nil && p.Alive()
}

func (c *Claims) drop(name string) {
	if f := c.held[name]; f != nil {
		f.Close()
		delete(c.held, name)
	}
}

// members lists the containers in the calling thread's network namespace.
func members() ([]Member, error) {
	f, err := os.Open("/proc/thread-self/net/unix")
	if err != nil {
		return nil, fmt.Errorf("list members of the network namespace: %w", err)
	}
	defer f.Close()
	return parseMembers(f)
}

// parseMembers reads the text of /proc/net/unix, whose last column anyone may
// fill: even a line may be the end of a name.
func parseMembers(r io.Reader) (members []Member, err error) {
	s := bufio.NewScanner(r)
	for s.Scan() {
		if _, claim, ok := strings.Cut(s.Text(), " @"+claimPrefix); ok {
			if m, ok := parseMember(claim); ok {
				members = append(members, m)
			}
		}
	}
	return members, s.Err()
}

// parseMember reads MODE/PID/ID, as name writes it.
func parseMember(claim string) (Member, bool) {
	parts := strings.SplitN(claim, "/", 3)
	if len(parts) != 3 {
		return Member{}, false
	}
	pid, err := strconv.Atoi(parts[1])
	m := Member{mode: config.Network(parts[0]), Pid: pid, ID: parts[2]}
	return m, err == nil && pid > 0 && m.mode.Valid() && statedir.ValidateID(m.ID) == nil
}

// joined is the company in which a container joins a network namespace.
type joined struct {
	members []Member // the others
	// ofProcess is the process whose namespace it is, when the path says so.
	ofProcess int
}

// settle decides on the network stack of a container that joins a namespace and
// isn't bound to another stack than the sandbox's. The reason is for the
// container's creator, and empty for the sandbox's. Errors: CodeNetworkTaken.
func (j joined) settle() (mode config.Network, reason string, err error) {
	known := j.ofProcess == 0
	for _, m := range j.members {
		known = known || m.Pid == j.ofProcess
		switch m.mode {
		case config.NetworkSandbox:
			return "", "", taken(m)
		case config.NetworkHost:
			mode, reason = config.NetworkHost, fmt.Sprintf("shares the network with container %s, which uses the host's stack", m.ID)
		}
	}
	switch {
	case mode != "":
		return mode, reason, nil
	case !known:
		return config.NetworkHost, fmt.Sprintf("shares the network of process %d", j.ofProcess), nil
	}
	return config.NetworkSandbox, "", nil
}

func taken(m Member) error {
	return &errdefs.Error{
		Code:    errdefs.CodeNetworkTaken,
		Message: fmt.Sprintf("container %s has taken the addresses of this network namespace into its sandbox", m.ID),
		Next:    "run every container that shares a network with the annotation dev.runsc-recover.network=host, or with a runtime installed with --network=host",
	}
}

// Network settles the container's network stack and announces it. The reason says
// why the stack isn't the one that was asked for. Errors: CodeNetworkTaken.
func (c *Claims) Network(asked config.Network, plan Plan, self Member) (mode config.Network, reason string, err error) {
	mode = asked
	if asked == config.NetworkSandbox {
		if mode, reason, err = c.claimStack(plan, self); err != nil || mode == config.NetworkSandbox {
			return mode, reason, err
		}
	}
	self.mode = mode
	if err := c.hold(self.name()); err != nil {
		return "", "", err
	}
	if mode != config.NetworkHost {
		return mode, reason, nil
	}
	others, err := c.others()
	if err != nil {
		return "", "", err
	}
	for _, m := range others {
		if m.mode == config.NetworkSandbox {
			return "", "", taken(m)
		}
	}
	return mode, reason, nil
}

// claimStack claims the addresses for the container's own sandbox, if they are to
// be had.
func (c *Claims) claimStack(plan Plan, self Member) (mode config.Network, reason string, err error) {
	self.mode = config.NetworkSandbox
	err = c.hold(ownerClaim)
	if err != nil && !errors.Is(err, unix.EADDRINUSE) {
		return "", "", err
	}
	if err == nil {
		if err := c.hold(self.name()); err != nil {
			return "", "", err
		}
	}
	others, listErr := c.others()
	if listErr != nil {
		return "", "", listErr
	}
	if err != nil && len(others) == 0 {
		others = []Member{{mode: config.NetworkSandbox, ID: "that is being made"}}
	}
	mode, reason, err = joined{members: others, ofProcess: plan.process()}.settle()
	if mode != config.NetworkSandbox {
		c.drop(self.name())
		c.drop(ownerClaim)
	}
	return mode, reason, err
}

// others are the members of the namespace without this process.
func (c *Claims) others() ([]Member, error) {
	all, err := members()
	if err != nil {
		return nil, err
	}
	var others []Member
	for _, m := range all {
		if c.held[m.name()] == nil {
			others = append(others, m)
		}
	}
	return others, nil
}

// process is the process whose namespace the plan's path is, or 0.
func (p Plan) process() int {
	rest, ok := strings.CutPrefix(p.Path, "/proc/")
	digits, isNet := strings.CutSuffix(rest, "/ns/net")
	pid, err := strconv.Atoi(digits)
	if !ok || !isNet || err != nil {
		return 0
	}
	return pid
}
