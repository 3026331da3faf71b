// Package cgroup is the container's control group, of version 1 or 2, systemd's
// or not: planned from the spec, made before any sandbox, joined by the
// supervisor, updated, read, and removed.
//
// It must not know sandboxes, checkpoints or the program. Directories below it
// belong to the container alone; a cgroup that somebody else is in stays.
//
// Locks: one per unified cgroup, around the limits that were set; no other lock
// is taken under it.
package cgroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/cenkalti/backoff"
	"github.com/containerd/cgroups/v3"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/oci/errdefs"
)

const mountPoint = "/sys/fs/cgroup"

// ErrNone says that the container has no cgroup of its own.
var ErrNone = errors.New("container has no cgroup")

// Cgroup is the container's cgroup, made before any sandbox so that
// gVisor takes it for somebody else's. The supervisor and its sandboxes are
// in it.
type Cgroup interface {
	Update(res *specs.LinuxResources) error
	Stats() (Stats, error)
	Memory() (MemoryUse, error)
}

// Stats is what a cgroup has used, and its limits. Times are in
// nanoseconds, memory in bytes.
type Stats struct {
	CPUUsageNS    uint64
	MemoryUsage   uint64
	MemoryLimit   uint64
	PidsCurrent   uint64
	OOMKills      uint64 // processes killed for want of memory
	CPUUserNS     uint64
	CPUKernelNS   uint64
	PidsLimit     uint64
	MemoryMax     uint64 // the highest use so far
	MemoryFailcnt uint64 // how often the limit was hit
}

// cgroupsPath is the spec's, or the one that runc takes when the spec has
// none; empty where there are no cgroups to have one in.
func cgroupsPath(spec *specs.Spec, id string, useSystemd bool) string {
	switch {
	case spec.Linux == nil:
		return ""
	case spec.Linux.CgroupsPath != "":
		return spec.Linux.CgroupsPath
	case cgroups.Mode() == cgroups.Unavailable:
		return ""
	case useSystemd:
		return "system.slice:runsc-recover:" + id
	}
	return "/" + id
}

// Plan is where the container's cgroup will be.
type Plan struct {
	path        string // in each hierarchy; empty when there can be none
	slice, Unit string // systemd's names, or empty
}

func NewPlan(spec *specs.Spec, id string, useSystemd bool) (Plan, error) {
	if spec.Linux != nil {
		if err := checkUnified(spec.Linux.Resources, cgroups.Mode()); err != nil {
			return Plan{}, err
		}
	}
	asked := cgroupsPath(spec, id, useSystemd)
	if asked == "" {
		return Plan{}, nil
	}
	if !useSystemd {
		return Plan{path: filepath.Join("/", asked)}, nil
	}
	slice, unit, err := parseSystemdPath(asked)
	if err != nil {
		return Plan{}, err
	}
	return Plan{path: filepath.Join(expandSlice(slice), unit), slice: slice, Unit: unit}, nil
}

// checkUnified refuses limits by the names of cgroup v2's files where there are
// none.
func checkUnified(res *specs.LinuxResources, mode cgroups.CGMode) error {
	if res == nil || len(res.Unified) == 0 || mode == cgroups.Unified {
		return nil
	}
	return errdefs.Errorf(errdefs.CodeConfigInvalid, "invalid configuration: linux.resources.unified needs cgroup v2")
}

// Dirs are the host directories that make the cgroup up, once it is made.
func (p Plan) Dirs() ([]string, error) {
	switch {
	case p.path == "":
		return nil, nil
	case cgroups.Mode() == cgroups.Unified:
		return []string{filepath.Join(mountPoint, p.path)}, nil
	case cgroups.Mode() == cgroups.Unavailable:
		return nil, nil
	}
	controllers, err := mountedControllers()
	if err != nil {
		return nil, fmt.Errorf("list cgroup controllers: %w", err)
	}
	var dirs []string
	for _, c := range controllers {
		if c, ok := c.(interface{ Path(string) string }); ok {
			dirs = append(dirs, c.Path(p.path))
		}
	}
	return dirs, nil
}

// Join makes the cgroup and moves pid into it. A nil result without an error
// means that there can be none. After an error it is for Cleanup.
func (p Plan) Join(ctx context.Context, res *specs.LinuxResources, pid int) (Cgroup, error) {
	if p.path == "" {
		return nil, nil
	}
	if cgroups.Mode() == cgroups.Unified {
		return p.joinUnified(res, pid)
	}
	return p.joinLegacy(ctx, res, pid)
}

const (
	// removeTime is how long a process that was killed may keep its cgroup, and
	// systemd may take to end a scope.
	removeTime = 5 * time.Second
	removePoll = 10 * time.Millisecond
)

// removeCgroup removes the scope unit, where it isn't empty, and the host
// directories of a cgroup. A cgroup that somebody else is in is left to them.
//
// Preconditions: no process of the container is left.
func Remove(unit string, dirs []string) error {
	if unit != "" {
		endScope(unit)
	}
	every := backoff.WithMaxRetries(backoff.NewConstantBackOff(removePoll), uint64(removeTime/removePoll))
	err := backoff.Retry(func() error { return removeDirs(dirs) }, every)
	if Populated(dirs) > 0 {
		return nil
	}
	return err
}

// removeDirs removes the directories, deepest first. Those that are gone
// or still populated are left, and the latter reported.
func removeDirs(dirs []string) error {
	var errs []error
	for _, d := range dirs {
		var below []string
		filepath.WalkDir(d, func(p string, e os.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				below = append(below, p)
			}
			return nil
		})
		for i := len(below) - 1; i >= 0; i-- {
			if err := os.Remove(below[i]); err != nil && !errors.Is(err, os.ErrNotExist) {
				errs = append(errs, fmt.Errorf("remove cgroup: %w", err))
			}
		}
	}
	return errors.Join(errs...)
}
