// Package reaper waits for orphaned descendants of this process, which is their
// subreaper, so that none stays a zombie.
//
// It must not know whose processes they are: its caller names those whose status
// is waited for elsewhere.
//
// Locks: none. Goroutines: the caller's, in Run.
package reaper

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// reapGrace is the time that a zombie is left to the code that started it. This
// process's own children (hooks, mount helpers, sandboxes that are being booted)
// are waited for at once; a zombie that is left after this time was re-parented,
// and nobody else will wait for it.
const reapGrace = 3 * time.Second

// BecomeSubreaper makes orphaned descendants children of this process.
func BecomeSubreaper() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become subreaper: %w", err)
	}
	return nil
}

// Run collects re-parented children until ctx is done. It never takes the
// status of a process for which keep is true: those are waited for elsewhere.
func Run(ctx context.Context, keep func(pid int) bool) {
	sigs := make(chan os.Signal, 1)
	signal.Notify(sigs, unix.SIGCHLD)
	defer signal.Stop(sigs)
	r := reaper{keep: keep}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-sigs:
			timer.Reset(reapGrace)
		case <-timer.C:
			if r.pass(childZombies(), waitFor) {
				timer.Reset(reapGrace)
			}
		}
	}
}

// reaper remembers the zombies of its last pass.
type reaper struct {
	keep func(pid int) bool
	seen map[int]bool
}

// pass waits for the zombies that the last pass saw as well, and reports
// whether another pass is needed.
func (r *reaper) pass(zombies []int, wait func(pid int)) bool {
	next := make(map[int]bool)
	left := false
	for _, pid := range zombies {
		switch {
		case r.keep(pid):
			left = true
		case r.seen[pid]:
			wait(pid)
		default:
			next[pid], left = true, true
		}
	}
	r.seen = next
	return left
}

func waitFor(pid int) {
	var status unix.WaitStatus
	unix.Wait4(pid, &status, unix.WNOHANG, nil)
}

// childZombies lists this process's children that have exited.
func childZombies() []int {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return nil
	}
	var zombies []int
	for _, t := range tasks {
		b, err := os.ReadFile("/proc/self/task/" + t.Name() + "/children")
		if err != nil {
			continue
		}
		for f := range strings.FieldsSeq(string(b)) {
			if pid, err := strconv.Atoi(f); err == nil && isZombie(pid) {
				zombies = append(zombies, pid)
			}
		}
	}
	return zombies
}

func isZombie(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	i := strings.LastIndexByte(string(b), ')')
	return i >= 0 && strings.HasPrefix(string(b[i+1:]), " Z")
}
