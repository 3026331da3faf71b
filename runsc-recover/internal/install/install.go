// Package install plans the changes to container engines' configuration that make
// a runtime known to them, to be shown or carried out. Settings of others are left
// as they are, and a plan that has been carried out is empty the next time.
// Configuration is a user's: text that can't be read is refused.
//
// It must not know the runtime's job.
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

// Runtime is a runtime as engines know it.
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
	Old  []byte      // nil for no file
	New  []byte      // nil for no file
	Mode fs.FileMode // of a new file
}

// Empty reports whether the file is as it should be already.
func (c Change) Empty() bool { return bytes.Equal(c.Old, c.New) && (c.Old == nil) == (c.New == nil) }

// Engine is a container engine: its files, and how a runtime stands in them.
type Engine struct {
	Name    string
	Program string // found in PATH where the engine is installed
	// Next is the shell command that makes the engine read its configuration
	// again; empty when the engine reads it each time.
	Next string

	file string // below /etc, with NAME for the runtime's
	// direct is set when the engine gives the runtime options itself.
	direct bool
	add    func(old []byte, rt Runtime) ([]byte, error)
	remove func(old []byte, name string) ([]byte, error)
}

// Engines lists the engines that can be configured.
func Engines() []Engine {
	return []Engine{
		{Name: "docker", Program: "dockerd", Next: "systemctl reload docker", file: "docker/daemon.json", direct: true, add: addDocker, remove: removeDocker},
		{Name: "containerd", Program: "containerd", Next: "systemctl restart containerd", file: "containerd/config.toml", add: addContainerd, remove: removeContainerd},
		{Name: "podman", Program: "podman", file: "containers/containers.conf.d/NAME.conf", add: addPodman, remove: removePodman},
	}
}

// Plan returns the changes below etc that make the runtime known to the engine.
// Errors: a bad name, a configuration that can't be read or added to.
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

// PlanRemoval returns the changes below etc after which the engine doesn't know
// the runtime any more.
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

// plan reads the files, edits the last one and leaves out those that stay as they
// are.
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
