package cgroup

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
)

// scopeSuffix ends the names of systemd's scopes.
const scopeSuffix = ".scope"

// parseSystemdPath splits "slice:prefix:name" as runc does.
func parseSystemdPath(path string) (slice, unit string, err error) {
	parts := strings.Split(path, ":")
	if len(parts) != 3 || parts[2] == "" || strings.HasSuffix(parts[2], ".slice") {
		return "", "", fmt.Errorf("cgroupsPath %q is not of the form slice:prefix:name that --systemd-cgroup needs", path)
	}
	slice, unit = parts[0], parts[1]+"-"+parts[2]
	if slice == "" {
		slice = "system.slice"
	}
	return slice, unit + scopeSuffix, nil
}

// expandSlice returns the directory of a slice: a-b.slice is in a.slice.
func expandSlice(slice string) string {
	if slice == "-.slice" {
		return "/"
	}
	name, path := strings.TrimSuffix(slice, ".slice"), "/"
	for i, r := range name {
		if r == '-' {
			path = filepath.Join(path, name[:i]+".slice")
		}
	}
	return filepath.Join(path, slice)
}

// startScope asks systemd for a delegated scope with pid in it. systemd ends
// the scope by itself when it is empty.
func startScope(ctx context.Context, slice, unit string, pid int) error {
	conn, err := systemd.NewWithContext(ctx)
	if err != nil {
		return fmt.Errorf("connect to systemd: %w", err)
	}
	defer conn.Close()
	property := func(name string, v any) systemd.Property {
		return systemd.Property{Name: name, Value: dbus.MakeVariant(v)}
	}
	done := make(chan string, 1)
	_, err = conn.StartTransientUnitContext(ctx, unit, "replace", []systemd.Property{
		systemd.PropDescription("runsc-recover container " + unit),
		systemd.PropSlice(slice),
		property("PIDs", []uint32{uint32(pid)}),
		property("Delegate", true),
		property("DefaultDependencies", false),
		property("MemoryAccounting", true),
		property("CPUAccounting", true),
		property("TasksAccounting", true),
	}, done)
	if err != nil {
		return fmt.Errorf("start systemd scope %s: %w", unit, err)
	}
	select {
	case result := <-done:
		if result != "done" {
			return fmt.Errorf("start systemd scope %s: %s", unit, result)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("start systemd scope %s: %w", unit, ctx.Err())
	}
}

// endScope has systemd forget a scope whose processes are gone, even as a
// failure: an engine may want the name again at once. Where systemd doesn't
// answer there is still the scope's directory, which others remove.
func endScope(unit string) {
	ctx, cancel := context.WithTimeout(context.Background(), removeTime)
	defer cancel()
	conn, err := systemd.NewWithContext(ctx)
	if err != nil {
		return
	}
	defer conn.Close()
	done := make(chan string, 1)
	if _, err := conn.StopUnitContext(ctx, unit, "replace", done); err == nil {
		select {
		case <-done:
		case <-ctx.Done():
		}
	}
	_ = conn.ResetFailedUnitContext(ctx, unit) // most are not there any more
}
