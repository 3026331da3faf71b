package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"runsc-recover/oci/specconv"
	"runsc-recover/oci/statedir"
	"runsc-recover/runsc-recover/internal/host/netns"
)

// Command is the hidden command under which this binary re-executes itself as
// a supervisor. Its only argument is the container's id, for people who look
// at ps.
const Command = "supervise"

// Descriptors that a supervisor inherits beside its stdio. Those of
// --preserve-fds follow, in their order.
const (
	fdHandshake = 3
	fdHostNetNS = 4
	// fdLock is the container's lock. The supervisor shares it until the
	// handshake is over, so that nobody cleans up after a creator that was
	// killed while the supervisor still makes things.
	fdLock       = 5
	fdFirstExtra = 6
)

// firstPreserved is the first descriptor of --preserve-fds, in the creator and in
// the program.
const firstPreserved = 3

// createTime bounds a creation as a whole; hooks have their own limits.
const createTime = 5 * time.Minute

// Spawn starts the container's supervisor and returns once the container is
// created, with the warnings for the user who asked for it. The supervisor inherits
// the caller's stdio, which becomes the container's, and is the caller's child:
// when the caller exits it goes to the nearest subreaper. After an error there is
// no supervisor; the files that it left in the state directory are for package
// cleanup.
//
// Preconditions: the caller holds lock, the container's.
func Spawn(ctx context.Context, spec *specs.Spec, lock *statedir.Lock, opts Options) (warnings []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, createTime)
	defer cancel()
	if opts.Rootless {
		if err := specconv.CheckRootless(spec, opts.SystemdCgroup); err != nil {
			return nil, err
		}
	}
	if opts.Network, err = networkStack(spec, opts.Network, opts.Rootless); err != nil {
		return nil, err
	}
	opts.Owner = ownerName()
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer ours.Close()
	cmd, err := startSupervisor(spec, opts, theirs, lock)
	theirs.Close()
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { ours.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	reply, err := shakeHands(ours, opts)
	if err != nil {
		// The supervisor ends by itself, but not necessarily soon.
		cmd.Process.Kill()
		cmd.Wait()
		return nil, errors.Join(err, ctx.Err())
	}
	return reply.Warnings, nil
}

// ownerName is this process's user as runc names one.
func ownerName() string {
	uid := strconv.Itoa(os.Getuid())
	if u, err := user.LookupId(uid); err == nil {
		return u.Username
	}
	return "#" + uid
}

func socketPair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make handshake socket: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "handshake"), os.NewFile(uintptr(fds[1]), "handshake"), nil
}

// startSupervisor forks in the container's network namespace, so that the new
// process is in it as a whole.
func startSupervisor(spec *specs.Spec, opts Options, handshake *os.File, lock *statedir.Lock) (*exec.Cmd, error) {
	hostNS, err := os.Open(netns.Current)
	if err != nil {
		return nil, fmt.Errorf("open own network namespace: %w", err)
	}
	defer hostNS.Close()
	cmd := exec.Command("/proc/self/exe", Command, opts.ID)
	cmd.Args[0] = "runsc-recover"
	cmd.Dir = "/"
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{handshake, hostNS, lock.File()}
	for i := range opts.PreserveFDs {
		fd := firstPreserved + i
		f := os.NewFile(uintptr(fd), "preserved "+strconv.Itoa(fd))
		if f == nil {
			return nil, fmt.Errorf("preserve descriptor %d: %w", fd, os.ErrInvalid)
		}
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if opts.Rootless && os.Geteuid() != 0 {
		enterUserNS(cmd.SysProcAttr)
	}
	if err := netns.In(netns.Plan(specconv.NetworkNamespaceOf(spec, opts.Rootless)), cmd.Start); err != nil {
		return nil, fmt.Errorf("start supervisor: %w", err)
	}
	return cmd, nil
}

// enterUserNS makes a process begin as root of a user namespace whose only
// user is the caller, and of a mount namespace: gVisor needs both to set up a
// sandbox without privileges.
func enterUserNS(attr *syscall.SysProcAttr) {
	attr.Cloneflags |= syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS
	attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	attr.Credential = &syscall.Credential{Uid: 0, Gid: 0, NoSetGroups: true}
}
