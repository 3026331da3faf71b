// Package statedir is a container's directory below --root: its name, its
// files, its lock, and state.json.
//
// It must not know gVisor, checkpoints' contents, or its callers.
//
// Lock order: a container's Lock is taken before anything else of that container
// and is held only by commands that create or delete it. Commands that speak to a
// live supervisor need no lock: the supervisor puts them in order. Goroutines: none.
package statedir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"runsc-recover/oci/errdefs"
)

// DefaultRoot is where containers are kept when --root isn't given.
const DefaultRoot = "/run/runsc-recover"

// Dir is a container's state directory, <root>/<id>, mode 0700. The names of
// everything in it stand here and nowhere else.
type Dir string

// ContainerDir returns the state directory of the container with that id.
//
// Preconditions: ValidateID(id) == nil.
func ContainerDir(root, id string) Dir { return Dir(filepath.Join(root, id)) }

// ID is the id of the directory's container.
func (d Dir) ID() string { return filepath.Base(string(d)) }

// Root is the --root that the directory is in.
func (d Dir) Root() string { return filepath.Dir(string(d)) }

// StateFile holds State. A container exists once it has one.
func (d Dir) StateFile() string { return filepath.Join(string(d), "state.json") }

// LockFile is the file that Lock locks.
func (d Dir) LockFile() string { return filepath.Join(string(d), "lock") }

// ControlSocket is the supervisor's.
func (d Dir) ControlSocket() string { return filepath.Join(string(d), "control.sock") }

// EpisodesFile holds the records of episodes.
func (d Dir) EpisodesFile() string { return filepath.Join(string(d), "episodes.json") }

// LogFile is the supervisor's log when --log isn't given.
func (d Dir) LogFile() string { return filepath.Join(string(d), "supervisor.log") }

// NetworkFile holds the addresses and routes that the container's sandbox took off
// the interfaces of a network namespace that outlives it.
func (d Dir) NetworkFile() string { return filepath.Join(string(d), "network.json") }

// StoreDir holds the container's checkpoints when its configuration names no
// other directory.
func (d Dir) StoreDir() string { return filepath.Join(string(d), "checkpoints") }

// NotifyDir is mounted into a container whose program is to say when it is
// ready; other containers have none.
func (d Dir) NotifyDir() string { return filepath.Join(string(d), "notify") }

// NotifySocket is where the program says so.
func (d Dir) NotifySocket() string { return filepath.Join(d.NotifyDir(), "notify.sock") }

// MaskFile is an empty file, which a container sees in place of a masked one.
func (d Dir) MaskFile() string { return filepath.Join(string(d), "masked") }

// GVisorDir holds the gVisor root directories of the container's sandboxes.
func (d Dir) GVisorDir() string { return filepath.Join(string(d), "gvisor") }

// GenerationDir is the gVisor root directory of generation n.
func (d Dir) GenerationDir(n int) string {
	return filepath.Join(d.GVisorDir(), strconv.Itoa(n))
}

// MakeDir creates the state directory of a new container and takes its lock.
// Errors: ErrInvalidID, ErrExist.
func MakeDir(root, id string) (Dir, *Lock, error) {
	if err := ValidateID(id); err != nil {
		return "", nil, err
	}
	if err := os.MkdirAll(root, 0o711); err != nil {
		return "", nil, fmt.Errorf("create root directory: %w", err)
	}
	d := ContainerDir(root, id)
	if err := os.Mkdir(string(d), 0o700); err != nil {
		if errors.Is(err, os.ErrExist) {
			return "", nil, errdefs.ErrExist
		}
		return "", nil, fmt.Errorf("create state directory: %w", err)
	}
	l, err := d.Lock()
	if err != nil {
		os.RemoveAll(string(d))
		return "", nil, err
	}
	return d, l, nil
}

// FindDir returns the state directory of a container that exists, or of one
// whose creation didn't come to an end. Errors: ErrInvalidID, ErrNotExist.
func FindDir(root, id string) (Dir, error) {
	if err := ValidateID(id); err != nil {
		return "", err
	}
	d := ContainerDir(root, id)
	fi, err := os.Stat(string(d))
	if errors.Is(err, os.ErrNotExist) || err == nil && !fi.IsDir() {
		return "", errdefs.ErrNotExist
	}
	if err != nil {
		return "", fmt.Errorf("look for container: %w", err)
	}
	return d, nil
}

// ListDirs returns the state directories below root, by name. A root that
// doesn't exist holds none.
func ListDirs(root string) ([]Dir, error) {
	entries, err := os.ReadDir(root)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	var dirs []Dir
	for _, e := range entries {
		if e.IsDir() && ValidateID(e.Name()) == nil {
			dirs = append(dirs, ContainerDir(root, e.Name()))
		}
	}
	return dirs, nil
}
