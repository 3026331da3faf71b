package cgroup

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/manager"
	"github.com/opencontainers/cgroups/systemd"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"runsc-recover/oci/errdefs"
)

// ErrNone says that the container has no cgroup of its own.
var ErrNone = errors.New("container has no cgroup")

// Request says which cgroup a container is to have.
type Request struct {
	Path    string // the spec's cgroupsPath; empty for the one that runc takes
	ID      string // the container's
	Systemd bool   // Path is slice:prefix:name, and systemd makes the cgroup
	// Resources are the limits, as specconv.Enforceable returns them.
	Resources *specs.LinuxResources
}

// Plan is a container's cgroup that isn't made yet. The zero Plan is none.
type Plan struct {
	// Unit is the name of systemd's scope; empty where the cgroup isn't systemd's.
	Unit      string
	name      string // for messages
	config    *cgroups.Cgroup
	resources *specs.LinuxResources
	manager   cgroups.Manager // nil for none
}

// NewPlan decides where the container's cgroup will be; it makes nothing. The
// result is the zero Plan where the host has no cgroups and none was asked for.
// Errors: CodeConfigInvalid.
func NewPlan(r Request) (Plan, error) {
	silenceLibrary()
	if err := checkUnified(r.Resources, cgroups.IsCgroup2UnifiedMode()); err != nil {
		return Plan{}, err
	}
	if !available() {
		if r.Path == "" {
			return Plan{}, nil
		}
		return Plan{}, fmt.Errorf("plan cgroup %s: no cgroups are mounted at %s", r.Path, mountPoint)
	}
	limits := newResources()
	p := Plan{config: &cgroups.Cgroup{Resources: &limits}}
	if err := p.locate(r); err != nil {
		return Plan{}, err
	}
	var err error
	if p.manager, err = manager.New(p.config); err != nil {
		return Plan{}, fmt.Errorf("plan cgroup %s: %w", p.name, err)
	}
	// Only where there is no hierarchy of devices isn't it joined.
	limits.SkipDevices = p.manager.Path("devices") == ""
	p.resources = r.Resources
	if !cgroups.IsCgroup2UnifiedMode() {
		p.resources = ofMounted(r.Resources, mountedBy(p.manager))
	}
	addResources(&limits, p.resources)
	return p, nil
}

// locate puts the cgroup's place into the plan.
func (p *Plan) locate(r Request) error {
	if !r.Systemd {
		p.name = filepath.Join("/", r.Path)
		if r.Path == "" {
			p.name = "/" + r.ID
		}
		p.config.Path = p.name
		return nil
	}
	path := r.Path
	if path == "" {
		path = "system.slice:runsc-recover:" + r.ID
	}
	s, err := parseScope(path)
	if err != nil {
		return err
	}
	p.Unit = s.unit()
	p.name = p.Unit
	p.config.Systemd, p.config.Parent, p.config.ScopePrefix, p.config.Name = true, s.slice, s.prefix, s.name
	return nil
}

// available reports whether the host has a place for cgroups.
func available() bool {
	var st unix.Statfs_t
	return unix.Statfs(mountPoint, &st) == nil
}

// checkUnified refuses limits by the names of cgroup v2's files where there are
// none. Errors: CodeConfigInvalid.
func checkUnified(res *specs.LinuxResources, unified bool) error {
	if res == nil || len(res.Unified) == 0 || unified {
		return nil
	}
	return errdefs.Errorf(errdefs.CodeConfigInvalid, "invalid configuration: linux.resources.unified needs cgroup v2")
}

// Dirs returns the host directories that will be the cgroup.
func (p Plan) Dirs() []string {
	if p.manager == nil {
		return nil
	}
	return sortedDirs(p.manager)
}

// Join makes the cgroup and moves the process pid into it. A nil result without an
// error means that the container has none. After an error the cgroup is for Remove.
func (p Plan) Join(pid int) (*Cgroup, error) {
	if p.manager == nil {
		return nil, nil
	}
	if err := p.manager.Apply(pid); err != nil {
		return nil, fmt.Errorf("join cgroup %s: %w", p.name, err)
	}
	c := newCgroup(p.manager, *p.config.Resources, cgroups.IsCgroup2UnifiedMode())
	if err := c.set(&c.limits, p.resources); err != nil {
		return nil, fmt.Errorf("set limits of cgroup %s: %w", p.name, err)
	}
	return c, nil
}

func newCgroup(m cgroups.Manager, limits cgroups.Resources, unified bool) *Cgroup {
	limits.SkipDevices = true
	c := &Cgroup{manager: m, dirs: sortedDirs(m), limits: limits, unified: unified, memory: legacyMemory(m.Path("memory"))}
	if unified {
		c.memory = unifiedMemory(m.Path(""))
	}
	return c
}

// scopeSuffix ends the names of systemd's scopes.
const scopeSuffix = ".scope"

// scope is a scope of systemd's, and the slice that it is in.
type scope struct{ slice, prefix, name string }

func (s scope) unit() string { return s.prefix + "-" + s.name + scopeSuffix }

// parseScope splits "slice:prefix:name" as runc does.
func parseScope(path string) (scope, error) {
	parts := strings.Split(path, ":")
	if len(parts) != 3 || parts[2] == "" || strings.HasSuffix(parts[2], ".slice") {
		return scope{}, fmt.Errorf("cgroupsPath %q is not of the form slice:prefix:name that --systemd-cgroup needs", path)
	}
	s := scope{slice: parts[0], prefix: parts[1], name: parts[2]}
	if s.slice == "" {
		s.slice = "system.slice"
	}
	if _, err := systemd.ExpandSlice(s.slice); err != nil {
		return scope{}, fmt.Errorf("cgroupsPath %q: %w", path, err)
	}
	return s, nil
}
