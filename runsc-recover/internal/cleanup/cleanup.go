// Package cleanup removes what a container left on the host once its supervisor
// is gone: sandbox processes, mounts, network configuration, cgroup, checkpoints
// and last the state directory.
//
// It must not know a live container. It trusts state.json alone for what belongs
// to the container, and may be called again after any interruption.
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
	// goneTime is how long what was killed may take to be gone.
	goneTime = 5 * time.Second
	// gonePoll is how often is looked.
	gonePoll = 10 * time.Millisecond
)

// Cleanup removes what a container left: sandboxes that its supervisor
// couldn't end, mounts, cgroup, checkpoints and last the state directory. It
// does what it can and joins the errors; it may be called again.
//
// Preconditions: the supervisor is gone, or st is nil because there is no
// state; the caller holds the container's lock.
func Cleanup(dir statedir.Dir, st *statedir.State) error {
	var errs []error
	if st != nil {
		errs = append(errs, killGenerations(st.Sandboxes))
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

// Reset removes what a container whose supervisor is gone left on the host,
// but not what it can be brought back with: its state, records, log and
// checkpoints.
//
// Preconditions: those of Cleanup.
func Reset(dir statedir.Dir, st *statedir.State) error {
	errs := []error{killGenerations(st.Sandboxes), unmountBelow(string(dir)), cgroup.Remove(st.SystemdUnit, st.CgroupPaths)}
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

// removeTries bounds how often another command may come in between.
const removeTries = 100

// removeState removes the state directory. A command that is after the lock
// makes its file anew when it comes between the removal of that and of the
// directory.
func removeState(dir statedir.Dir) (err error) {
	for range removeTries {
		if err = os.RemoveAll(string(dir)); !errors.Is(err, unix.ENOTEMPTY) {
			return err
		}
	}
	return err
}

// killGenerations ends the processes of sandboxes that are still those that
// were started, and waits until they are gone.
func killGenerations(gens []statedir.Sandbox) error {
	var procs []statedir.Process
	for _, g := range gens {
		procs = append(procs, g.Processes...)
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

// within waits until done, or the time is over, and reports which.
func within(d time.Duration, done func() bool) bool {
	for end := time.Now().Add(d); !done(); time.Sleep(gonePoll) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}
