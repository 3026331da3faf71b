package sandbox

import (
	"context"
	"errors"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/checkpoint/config"
)

// Errors of Boot.
var (
	// ErrNotFenced: a held copy can't be kept off the network here.
	ErrNotFenced = errors.New("a held copy can't be kept off the network")
	// ErrContainers: a sandbox of this driver can't hold this number of
	// containers, or containers of these names.
	ErrContainers = errors.New("the sandbox can't hold these containers")
)

// A Booter makes sandboxes, one generation of a lineage after the other.
type Booter interface {
	// Boot starts a sandbox, which then waits for Container.Start or Restore.
	// Errors: ErrContainers, ErrNotFenced.
	//
	// Preconditions: the calling thread lives as long as the supervisor (package
	// osthread), since the sandbox dies with that thread.
	Boot(ctx context.Context, opts BootOptions) (Sandbox, error)
}

// BootOptions describes a sandbox to boot.
type BootOptions struct {
	// ID is the sandbox's internal id, unique on the host.
	ID string
	// Generation counts the sandboxes of the lineage, from 1.
	Generation int
	// Root is the sandbox's gVisor root directory, created by Boot and removed by
	// Destroy.
	Root   string
	Config config.Config
	// NetworkStack is the stack that the containers use.
	NetworkStack config.Network
	// Rootless says that the calling process is without privileges on the host.
	Rootless bool
	// LogDir is the directory for the driver's logs, empty for none.
	LogDir string
	// Events receives the sandbox's reports, in order. The Sandbox closes it when
	// the sandbox is gone. The receiver must keep draining it.
	Events chan<- Event
	// Network is the result of Network of an earlier generation; nil for the
	// first, which takes its configuration from the network namespace.
	Network Network
	// Fenced keeps a copy off the network, in both directions, from Restore to
	// Release, so that it can be held while another generation runs. Boot
	// fails with ErrNotFenced where the host can't do that.
	Fenced bool
	// Containers are the sandbox's, the first of which is its root container.
	Containers []ContainerOptions
}

// ContainerOptions describes a container of a sandbox to boot. Its stdio is
// that of the calling process.
type ContainerOptions struct {
	// Name names the container within its sandbox: a valid container id.
	Name string
	// Spec is the container's, as package specconv converts it for sandboxes:
	// without relative paths or hooks. Boot doesn't change it.
	Spec *specs.Spec
	// PassFiles are descriptors given to the program by number (--preserve-fds).
	// Boot takes ownership.
	PassFiles map[int]*os.File
}

// Network is the network configuration of a sandbox as its driver saved it. It
// is opaque here.
type Network any
