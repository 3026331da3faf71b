package statedir

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/config"
	"runsc-recover/oci/errdefs"
)

// StateVersion is the version of state.json that this build reads and writes.
const StateVersion = 1

// maxStateSize bounds a state file, in bytes.
const maxStateSize = 16 << 20

// Status is the state of a container's life.
type Status string

// The statuses; the words are the OCI specification's, and runc's.
const (
	StatusCreated Status = "created"
	StatusRunning Status = "running"
	StatusPaused  Status = "paused"
	StatusStopped Status = "stopped"
)

// Sandbox holds all that is needed to remove a sandbox without its supervisor.
type Sandbox struct {
	Number int    `json:"number"` // its generation
	ID     string `json:"id"`
	Root   string `json:"root"`
	// Processes are the sandbox and its gofer.
	Processes []Process `json:"processes"`
}

// Standby is the sandbox that is kept ready for the next recovery.
type Standby struct {
	Kind  config.Standby `json:"kind"` // cold: there is none
	Since time.Time      `json:"since,omitzero"`
	// Generation is the standby's, 0 for none.
	Generation int `json:"generation,omitempty"`
	// Checkpoint is the checkpoint that a hot standby holds, 0 for none.
	Checkpoint checkpoint.Seq `json:"checkpoint,omitempty"`
	Reason     string         `json:"reason,omitempty"`
}

// Exit is the end of a container.
type Exit struct {
	Status int       `json:"status"` // 128+n for signal n
	At     time.Time `json:"at"`
}

// State is the contents of state.json: all that outlives the commands. The
// supervisor alone writes it once the container is created.
type State struct {
	Version     int               `json:"version"`
	OCIVersion  string            `json:"ociVersion"`
	ID          string            `json:"id"`
	Status      Status            `json:"status"` // as last written; see CurrentStatus
	Bundle      string            `json:"bundle"` // absolute
	Rootfs      string            `json:"rootfs"` // absolute
	Created     time.Time         `json:"created"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Owner       string            `json:"owner"`
	Terminal    bool              `json:"terminal"`
	Supervisor  Process           `json:"supervisor"`
	Policy      config.Config     `json:"policy"`
	// Hooks are kept here because poststop hooks run at delete, when the
	// bundle may be gone.
	Hooks       *specs.Hooks `json:"hooks,omitempty"`
	CgroupPaths []string     `json:"cgroup_paths,omitempty"` // host directories made for the container
	SystemdUnit string       `json:"systemd_unit,omitempty"` // systemd's scope, if they are one
	Sandboxes   []Sandbox    `json:"generations,omitempty"`
	Standby     Standby      `json:"standby,omitzero"`
	// CheckpointError says why the last checkpoint could not be taken.
	CheckpointError string `json:"checkpoint_error,omitempty"`
	Exit            *Exit  `json:"exit,omitempty"` // set when the container is over
}

// CurrentStatus is the status as far as it can be told without asking the
// supervisor: stopped once that is gone.
func (s *State) CurrentStatus() Status {
	if s.Status != StatusStopped && !s.Supervisor.Alive() {
		return StatusStopped
	}
	return s.Status
}

// Spec is the state in the form that hooks and the state command show. The pid
// is 0 for a stopped container.
func (s *State) Spec(status Status) specs.State {
	pid := s.Supervisor.Pid
	if status == StatusStopped {
		pid = 0
	}
	return specs.State{
		Version:     s.OCIVersion,
		ID:          s.ID,
		Status:      specs.ContainerState(status),
		Pid:         pid,
		Bundle:      s.Bundle,
		Annotations: s.Annotations,
	}
}

// Save replaces state.json at once: a reader sees the old one or the new one.
func (s *State) Save(d Dir) error {
	b, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encode state: %w", err)
	}
	if err := WriteFile(d.StateFile(), b); err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	return nil
}

// LoadState reads state.json. Errors: ErrNotExist, CodeUnsupported for another
// version.
func LoadState(d Dir) (*State, error) {
	b, err := ReadLimited(d.StateFile(), maxStateSize)
	if errors.Is(err, os.ErrNotExist) {
		return nil, errdefs.ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("load state of container %s: %w", d.ID(), err)
	}
	return decodeState(b, d.ID())
}

// decodeState reads the text of the state file of container id.
func decodeState(b []byte, id string) (*State, error) {
	var s State
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("decode state of container %s: %w", id, err)
	}
	if s.Version != StateVersion {
		return nil, errdefs.Errorf(errdefs.CodeUnsupported, "state of container %s has version %d, not %d", id, s.Version, StateVersion)
	}
	return &s, nil
}

// WriteFile replaces the file at path with one of mode 0600 that holds b, so
// that a reader sees all of the old contents or all of the new. It doesn't
// wait for the disk: the state of a container doesn't outlive a reboot.
func WriteFile(path string, b []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// WritePidFile writes a pid for others to read; an empty path is no file.
func WritePidFile(path string, pid int) error {
	if path == "" {
		return nil
	}
	if err := WriteFile(path, []byte(strconv.Itoa(pid))); err != nil {
		return fmt.Errorf("write pid file: %w", err)
	}
	return nil
}
