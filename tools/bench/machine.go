package main

import (
	"context"
	"fmt"
	"os"
	goruntime "runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// machine is the machine of a run, with the versions of the runtimes.
type machine struct {
	Time     time.Time         `json:"time"`
	CPU      string            `json:"cpu"`
	CPUs     int               `json:"cpus"`
	Memory   string            `json:"memory"`
	Kernel   string            `json:"kernel"`
	Load     string            `json:"load"` // of the machine before the run: others disturb
	Versions map[string]string `json:"versions"`
}

func describeMachine(ctx context.Context, runtimes ...runtime) (machine, error) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return machine{}, fmt.Errorf("read kernel's name: %w", err)
	}
	m := machine{
		Time:     time.Now().UTC().Truncate(time.Second),
		CPU:      field("/proc/cpuinfo", "model name"),
		CPUs:     goruntime.NumCPU(),
		Memory:   field("/proc/meminfo", "MemTotal"),
		Kernel:   unix.ByteSliceToString(name.Release[:]) + " " + unix.ByteSliceToString(name.Machine[:]),
		Versions: map[string]string{},
	}
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return machine{}, err
	}
	m.Load = strings.Join(strings.Fields(string(load))[:3], " ")
	for _, r := range runtimes {
		out, err := r.command(ctx, "--version")
		if err != nil {
			return machine{}, err
		}
		m.Versions[r.name] = strings.Join(strings.Split(strings.TrimSpace(string(out)), "\n"), ", ")
	}
	return m, nil
}

// field is the value of the first "name: value" line of a file; "unknown" where
// there is none, as on machines whose cpuinfo has no model.
func field(file, name string) string {
	text, _ := os.ReadFile(file)
	for line := range strings.Lines(string(text)) {
		key, value, ok := strings.Cut(line, ":")
		if ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}
