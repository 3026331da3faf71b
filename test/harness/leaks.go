package harness

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// leakTimeout is how long a killed process, with all that is tied to it, may take
// to be gone.
const leakTimeout = 10 * time.Second

// finish ends the test: logs are shown if it failed, containers that it left are
// deleted, and anything that remains after that is an error.
func (rt *Runtime) finish() {
	if rt.t.Failed() {
		rt.showFiles()
	}
	for _, id := range rt.list() {
		if r := rt.Try("delete", "--force", id); r.Code != 0 {
			rt.t.Errorf("%v", r)
		}
	}
	rt.CheckLeaks()
	if err := os.RemoveAll(rt.Dir); err != nil {
		rt.t.Errorf("remove the test's directory: %v", err)
	}
}

func (rt *Runtime) list() []string {
	r := rt.Try("list", "--format", "json")
	var states []State
	if r.Code != 0 || json.Unmarshal([]byte(r.Stdout), &states) != nil {
		rt.t.Errorf("%v", r)
	}
	var ids []string
	for _, s := range states {
		ids = append(ids, s.ID)
	}
	return ids
}

// CheckLeaks fails the test if anything of its containers is left. All of them
// must have been deleted.
func (rt *Runtime) CheckLeaks() {
	rt.t.Helper()
	var left []string
	for deadline := time.Now().Add(patience(leakTimeout)); ; time.Sleep(20 * time.Millisecond) {
		left = rt.leaks()
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			break
		}
	}
	rt.t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
}

func (rt *Runtime) leaks() []string {
	return append(append(append(rt.leftProcesses(), rt.leftMounts()...), rt.leftCgroups()...), rt.leftFiles()...)
}

// leftProcesses finds the processes that name the test's directory on their
// command line or in their environment; a container's processes do one or the
// other. Zombies are only their parent's business.
func (rt *Runtime) leftProcesses() []string {
	var left []string
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		cmdline, _ := os.ReadFile(dir + "/cmdline")
		environ, _ := os.ReadFile(dir + "/environ")
		if bytes.Contains(cmdline, []byte(rt.Dir)) || bytes.Contains(environ, []byte("RUNSC_RECOVER_TEST="+rt.Dir+"\x00")) {
			left = append(left, fmt.Sprintf("process %s: %s", filepath.Base(dir), bytes.ReplaceAll(cmdline, []byte{0}, []byte(" "))))
		}
	}
	return left
}

func (rt *Runtime) leftMounts() []string {
	var left []string
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, rt.Dir) {
			left = append(left, "mount "+strings.TrimSpace(line))
		}
	}
	return left
}

// leftCgroups finds cgroups by the name of a container, which begins with the
// name of the test's directory.
func (rt *Runtime) leftCgroups() []string {
	var left []string
	// Cgroups that others remove meanwhile are no error here.
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.HasPrefix(d.Name(), filepath.Base(rt.Dir)) {
			left = append(left, "cgroup "+path)
		}
		return nil
	})
	return left
}

func (rt *Runtime) leftFiles() []string {
	var left []string
	entries, _ := os.ReadDir(rt.Root)
	for _, e := range entries {
		left = append(left, "file "+filepath.Join(rt.Root, e.Name()))
	}
	return left
}

// showFiles logs the end of each log, record and output of the test.
func (rt *Runtime) showFiles() {
	_ = filepath.WalkDir(rt.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if d.IsDir() && d.Name() == "rootfs" {
			return fs.SkipDir
		}
		switch filepath.Ext(path) {
		case ".log", ".out", ".err":
		case ".json":
			if d.Name() == "config.json" {
				return nil
			}
		default:
			return nil
		}
		rt.t.Logf("--- %s\n%s", path, tail(path))
		return nil
	})
}

// tail is the end of a file, as much as is worth reading.
func tail(path string) string {
	const limit = 6000
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	if len(b) > limit {
		b = append([]byte("…"), b[len(b)-limit:]...)
	}
	return string(b)
}
