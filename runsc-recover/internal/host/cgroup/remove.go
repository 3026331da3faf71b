package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/manager"
)

const (
	// removeTime is how long a process that was killed may keep its cgroup.
	removeTime = 5 * time.Second
	removePoll = 10 * time.Millisecond
)

// Remove removes the host directories of a cgroup and its scope unit, if unit
// isn't empty. A cgroup that holds processes of others is left to them.
//
// Preconditions: no process of the container is left.
func Remove(unit string, dirs []string) error {
	silenceLibrary()
	if unit != "" {
		endScope(unit, dirs)
	}
	err := removeDirs(dirs)
	for end := time.Now().Add(removeTime); err != nil && time.Now().Before(end); err = removeDirs(dirs) {
		time.Sleep(removePoll)
	}
	if Populated(dirs) > 0 {
		return nil
	}
	return err
}

// endScope has systemd forget a scope whose processes are gone, even as a
// failure: an engine may want the name again at once. Where systemd doesn't
// answer there is still the scope's directory, which Remove removes.
func endScope(unit string, dirs []string) {
	prefix, name, _ := strings.Cut(strings.TrimSuffix(unit, scopeSuffix), "-")
	config := &cgroups.Cgroup{Systemd: true, ScopePrefix: prefix, Name: name, Resources: &cgroups.Resources{}}
	paths := map[string]string{}
	if cgroups.IsCgroup2UnifiedMode() && len(dirs) == 1 {
		paths[""] = dirs[0]
	}
	if m, err := manager.NewWithPaths(config, paths); err == nil {
		_ = m.Destroy() // the directories say whether it worked
	}
}

// removeDirs removes the directories, deepest first. Those that are still
// populated are left and reported.
func removeDirs(dirs []string) error {
	var errs []error
	for _, d := range dirs {
		var below []string
		// Directories that go meanwhile are no error.
		_ = filepath.WalkDir(d, func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				below = append(below, path)
			}
			return nil
		})
		for _, path := range slices.Backward(below) {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, fmt.Errorf("remove cgroup: %w", err))
			}
		}
	}
	return errors.Join(errs...)
}
