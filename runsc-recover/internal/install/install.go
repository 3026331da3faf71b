// Package install knows how container engines are told of a runtime: which
// file, and what in it. It plans changes to configuration, for the caller to
// show or to carry out; settings that aren't of the runtime are left as they
// are, and a plan that has been carried out is empty the next time.
//
// It must not know what the runtime does.
package install

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
)

// Runtime is what engines are told of.
type Runtime struct {
	Name   string   // by which engines call it
	Binary string   // absolute
	Args   []string // options ahead of the command
	// SystemdCgroup makes containerd leave cgroups to systemd. The other
	// engines decide for all their runtimes.
	SystemdCgroup bool
}

// Change is a file as it should be.
type Change struct {
	Path string
	Old  []byte      // nil when there is none
	New  []byte      // nil when there should be none
	Mode fs.FileMode // of a file that isn't there yet
}

// Empty reports whether the file is as it should be.
func (c Change) Empty() bool { return bytes.Equal(c.Old, c.New) && (c.Old == nil) == (c.New == nil) }

// Engine is a container engine's way to be told of a runtime.
type Engine struct {
	Name    string
	Program string // that is there when the engine is
	// Next is what makes the engine read its configuration again; empty when
	// it always does.
	Next string

	file string // below /etc, with NAME for the runtime's
	// direct is set when the engine gives the runtime options itself.
	direct bool
	add    func(old []byte, rt Runtime) ([]byte, error)
	remove func(old []byte, name string) ([]byte, error)
}

// Engines are all that are known.
func Engines() []Engine {
	return []Engine{
		{Name: "docker", Program: "dockerd", Next: "systemctl reload docker", file: "docker/daemon.json", direct: true, add: addDocker, remove: removeDocker},
		{Name: "containerd", Program: "containerd", Next: "systemctl restart containerd", file: "containerd/config.toml", add: addContainerd, remove: removeContainerd},
		{Name: "podman", Program: "podman", file: "containers/containers.conf.d/NAME.conf", add: addPodman, remove: removePodman},
	}
}

// Plan says what to change below etc so that the engine knows the runtime.
func (e Engine) Plan(etc string, rt Runtime, read func(path string) ([]byte, error)) ([]Change, error) {
	if !validName.MatchString(rt.Name) {
		return nil, badName(rt.Name)
	}
	var changes []Change
	if !e.direct {
		path := e.wrapper(etc, rt.Name)
		c := Change{Path: path, Mode: 0o755}
		if len(rt.Args) > 0 {
			c.New = wrap(rt)
			rt.Binary = path
		}
		changes = append(changes, c)
	}
	return e.plan(append(changes, Change{Path: e.config(etc, rt.Name), Mode: 0o644}), read, func(old []byte) ([]byte, error) { return e.add(old, rt) })
}

// config is the file that the engine reads.
func (e Engine) config(etc, name string) string {
	return filepath.Join(etc, strings.ReplaceAll(e.file, "NAME", name))
}

// PlanRemoval says what to change so that the engine doesn't know it any more.
func (e Engine) PlanRemoval(etc, name string, read func(path string) ([]byte, error)) ([]Change, error) {
	if !validName.MatchString(name) {
		return nil, badName(name)
	}
	var changes []Change
	if !e.direct {
		changes = append(changes, Change{Path: e.wrapper(etc, name)})
	}
	return e.plan(append(changes, Change{Path: e.config(etc, name), Mode: 0o644}), read, func(old []byte) ([]byte, error) {
		if old == nil {
			return nil, nil
		}
		return e.remove(old, name)
	})
}

// plan reads what the files are, edits the last and leaves out those that stay.
func (e Engine) plan(changes []Change, read func(path string) ([]byte, error), edit func(old []byte) ([]byte, error)) ([]Change, error) {
	var out []Change
	for i, c := range changes {
		old, err := read(c.Path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read configuration of %s: %w", e.Name, err)
		}
		c.Old = old
		if i == len(changes)-1 {
			if c.New, err = edit(old); err != nil {
				return nil, fmt.Errorf("edit %s: %w", c.Path, err)
			}
		}
		if !c.Empty() {
			out = append(out, c)
		}
	}
	return out, nil
}

var validName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)

func badName(name string) error {
	return fmt.Errorf("runtime name %q: allowed are lower-case letters, digits and dashes", name)
}
