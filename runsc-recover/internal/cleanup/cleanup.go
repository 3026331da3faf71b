// Package cleanup removes a container's remains from the host once its supervisor
// is gone: sandbox processes, mounts, network configuration, cgroup, checkpoints
// and last the state directory.
//
// It must not know a live container. state.json alone tells it the container's
// possessions, and it may be called again after any interruption. It has no locks
// of its own and no goroutines; the caller holds the container's lock.
package cleanup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"runsc-recover/oci/statedir"
	"runsc-recover/runsc-recover/internal/host/cgroup"
	"runsc-recover/runsc-recover/internal/host/netns"
)

const (
	// goneTime bounds the time in which processes that were killed have to be gone.
	goneTime = 5 * time.Second
	gonePoll = 10 * time.Millisecond
)

// Cleanup removes a container's remains: sandboxes that its supervisor couldn't
// end, mounts, cgroup, checkpoints and last the state directory. It goes on after
// an error, and joins the errors; it may be called again.
//
// Preconditions: the supervisor is gone, or st is nil because there is no
// state; the caller holds the container's lock.
func Cleanup(dir statedir.Dir, st *statedir.State) error {
	var errs []error
	if st != nil {
		errs = append(errs, killSandboxes(st.Sandboxes))
	}
	errs = append(errs, netns.PutBackSaved(dir), unmountBelow(string(dir)))
	if st != nil {
		errs = append(errs, cgroup.Remove(st.SystemdUnit, st.CgroupPaths))
		if st.Policy.Store != "" {
			errs = append(errs, os.RemoveAll(statedir.ExternalStore(st.Policy.Store, st.ID)))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("clean up container: %w", err)
	}
	if err := removeState(dir); err != nil {
		return fmt.Errorf("remove state directory: %w", err)
	}
	return nil
}

// Reset removes the remains of a container but those that it is resumed with: its
// state, records, log and checkpoints.
//
// Preconditions: those of Cleanup.
func Reset(dir statedir.Dir, st *statedir.State) error {
	errs := []error{killSandboxes(st.Sandboxes), unmountBelow(string(dir)), cgroup.Remove(st.SystemdUnit, st.CgroupPaths)}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("clean up container: %w", err)
	}
	entries, err := os.ReadDir(string(dir))
	if err != nil {
		return fmt.Errorf("list state directory: %w", err)
	}
	keep := []string{dir.StateFile(), dir.EpisodesFile(), dir.StoreDir(), dir.LockFile(), dir.LogFile()}
	for _, e := range entries {
		path := filepath.Join(string(dir), e.Name())
		if !slices.Contains(keep, path) {
			errs = append(errs, os.RemoveAll(path))
		}
	}
	return errors.Join(errs...)
}

// removeTries bounds the commands that may come in between.
const removeTries = 100

// removeState removes the state directory. A command that waits for the lock makes
// the lock's file anew when it comes between the removal of the file and of the
// directory.
func removeState(dir statedir.Dir) (err error) {
	for range removeTries {
		if err = os.RemoveAll(string(dir)); !errors.Is(err, unix.ENOTEMPTY) {
			return err
		}
	}
	return err
}

// killSandboxes ends the processes of sandboxes, but none that got the pid of one
// since, and waits until they are gone.
func killSandboxes(sandboxes []statedir.Sandbox) error {
	var procs []statedir.Process
	for _, s := range sandboxes {
		procs = append(procs, s.Processes...)
	}
	alive := func(p statedir.Process) bool { return p.Alive() }
	for _, p := range procs {
		if alive(p) {
			unix.Kill(p.Pid, unix.SIGKILL)
		}
	}
	if !within(goneTime, func() bool { return !slices.ContainsFunc(procs, alive) }) {
		return fmt.Errorf("kill sandboxes: some are still there after %v", goneTime)
	}
	return nil
}

// unmountBelow detaches the mounts in dir, the last mounted first: gVisor leaves a
// bind mount of a network namespace in its root directory.
func unmountBelow(dir string) error {
	// The kernel names mounts without symbolic links, such as docker's /var/run.
	dir, err := filepath.EvalSymlinks(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("resolve directory: %w", err)
	}
	mounts, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		return !strings.HasPrefix(m.Mountpoint, dir+"/"), false
	})
	if err != nil {
		return fmt.Errorf("list mounts: %w", err)
	}
	var errs []error
	for _, m := range slices.Backward(mounts) {
		err := unix.Unmount(m.Mountpoint, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, fmt.Errorf("unmount %s: %w", m.Mountpoint, err))
		}
	}
	return errors.Join(errs...)
}

// within waits until done returns true or the time is over, and reports whether
// done did.
func within(d time.Duration, done func() bool) bool {
	for end := time.Now().Add(d); !done(); time.Sleep(gonePoll) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}
