package supervisor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/config"
	"runsc-recover/oci"
	"runsc-recover/oci/errdefs"
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

const (
	// createTime bounds a creation as a whole; hooks have their own limits.
	createTime = 5 * time.Minute
	// maxHandshake bounds a message of the handshake.
	maxHandshake = 1 << 20
)

// SpawnOptions are what a supervisor is told.
//
//	creator                               supervisor
//	   | ------- SpawnOptions --------------> |  fork, setsid; JSON
//	   |                                      |  cgroup, terminal, store, hooks, sandbox
//	   | <------ created, or an error ------- |  JSON; then both close
//
// Either side finds out by end of file that the other died.
type SpawnOptions struct {
	ID   string       `json:"id"`
	Dir  statedir.Dir `json:"dir"`    // exists
	Path string       `json:"bundle"` // absolute
	// Owner is who creates the container, by name. Spawn sets it: in a user
	// namespace of its own the supervisor would say root.
	Owner string `json:"owner"`
	// Policy is what annotations and flags add up to.
	Policy config.Config `json:"policy"`
	// PidFile is written when the container is created; empty for none.
	PidFile string `json:"pid_file"`
	// ConsoleSocket is where the terminal's master goes. It is required when
	// the spec asks for a terminal.
	ConsoleSocket string `json:"console_socket"`
	// ImagePath is a directory with a gVisor image that the program is
	// restored from at start; empty to run it from its beginning.
	ImagePath string `json:"image_path"`
	// FromStore makes the program go on from the store's checkpoint FromSeq, 0
	// for where it was last.
	FromStore bool           `json:"from_store,omitempty"`
	FromSeq   checkpoint.Seq `json:"from_seq,omitempty"`
	// PreserveFDs is how many descriptors from 3 on the program inherits.
	PreserveFDs int `json:"preserve_fds"`
	// Notify gives the program a socket to say that it is ready.
	Notify        bool           `json:"notify"`
	SystemdCgroup bool           `json:"systemd_cgroup"`
	Rootless      bool           `json:"rootless"`
	Network       config.Network `json:"network"`
	Debug         bool           `json:"debug"`
	// LogFile is the supervisor's log; empty for the one in the state directory.
	LogFile   string `json:"log_file"`
	LogFormat string `json:"log_format"` // text or json
}

// created is the supervisor's side of the handshake.
type created struct {
	Pid int `json:"pid"`
	// Warnings say what of the container can't be had, or not be rolled back.
	Warnings []string       `json:"warnings,omitempty"`
	Error    *errdefs.Error `json:"error,omitempty"`
}

// Spawn starts the container's supervisor and returns once the container is
// created. The warnings are for whoever asked for it. It inherits the caller's stdio, which becomes the
// container's, and is the caller's child: when the caller exits it goes to the
// nearest subreaper. After an error there is no supervisor; what it left in
// the state directory is for Cleanup.
//
// Preconditions: the caller holds lock, the container's.
func Spawn(ctx context.Context, spec *specs.Spec, lock *statedir.Lock, opts SpawnOptions) (warnings []string, err error) {
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
		// It ends by itself, but not necessarily soon.
		cmd.Process.Kill()
		cmd.Wait()
		return nil, errors.Join(err, ctx.Err())
	}
	return reply.Warnings, nil
}

// networkStack returns the stack of a container for which asked was asked. Errors:
// CodeConfigInvalid for a namespace that isn't there, CodeUnsupported.
func networkStack(spec *specs.Spec, asked config.Network, rootless bool) (config.Network, error) {
	if asked != config.NetworkSandbox {
		return asked, nil
	}
	shared, err := netns.Plan(specconv.NetworkNamespaceOf(spec, false)).IsCurrent()
	if errors.Is(err, os.ErrNotExist) {
		return "", errdefs.Errorf(errdefs.CodeConfigInvalid, "%s is not valid: network namespace: %w", oci.ConfigFile, err)
	}
	if err != nil {
		return "", fmt.Errorf("look at network namespace: %w", err)
	}
	return specconv.SettleNetwork(asked, shared, rootless)
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
func startSupervisor(spec *specs.Spec, opts SpawnOptions, handshake *os.File, lock *statedir.Lock) (*exec.Cmd, error) {
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
		f := os.NewFile(uintptr(3+i), "preserved "+strconv.Itoa(3+i))
		if f == nil {
			return nil, fmt.Errorf("preserve descriptor %d: %w", 3+i, os.ErrInvalid)
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

func shakeHands(conn *os.File, opts SpawnOptions) (reply created, err error) {
	b, err := json.Marshal(opts)
	if err != nil {
		return reply, fmt.Errorf("encode supervisor's options: %w", err)
	}
	if _, err := conn.Write(append(b, '\n')); err != nil {
		return reply, fmt.Errorf("send supervisor's options: %w", err)
	}
	if err := readMessage(conn, &reply); err != nil {
		if errors.Is(err, io.EOF) {
			return reply, fmt.Errorf("supervisor died while it created the container; see %s", logFile(opts))
		}
		return reply, fmt.Errorf("wait for supervisor: %w", err)
	}
	if reply.Error != nil {
		return reply, reply.Error
	}
	return reply, nil
}

// readMessage decodes one JSON value, ended by a newline.
func readMessage(r io.Reader, v any) error {
	var b []byte
	chunk := make([]byte, 4096)
	for !bytes.HasSuffix(b, []byte("\n")) {
		n, err := r.Read(chunk)
		b = append(b, chunk[:n]...)
		if len(b) > maxHandshake {
			return fmt.Errorf("message exceeds %d bytes", maxHandshake)
		}
		if err != nil && !bytes.HasSuffix(b, []byte("\n")) {
			return err
		}
	}
	return json.Unmarshal(b, v)
}

func logFile(opts SpawnOptions) string {
	if opts.LogFile != "" {
		return opts.LogFile
	}
	return opts.Dir.LogFile()
}
