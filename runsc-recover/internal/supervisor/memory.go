package supervisor

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// tellMemory has the program of a sandbox find as much memory as the container
// may use now: its limit, or the host's memory where that is less. What the
// program believes is no reason to fail for.
func (e *Engine) tellMemory(ctx context.Context, gen Generation) {
	if e.opts.Memory == nil {
		return
	}
	use, err := e.opts.Memory()
	if err == nil {
		err = gen.SetMemory(ctx, usableMemory(use.limit, hostMemory()))
	}
	if err != nil && !errors.Is(err, ErrGone) {
		e.log.Warn("tell program of its memory", "error", err)
	}
}

// usableMemory is what a container with a limit, 0 for none, can use of a
// host's memory, in bytes.
func usableMemory(limit, host uint64) uint64 {
	if limit == 0 {
		return host
	}
	return min(limit, host)
}

func hostMemory() uint64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0 // it can't fail
	}
	return info.Totalram * uint64(info.Unit)
}

// residentMemory is the memory, in bytes, that processes have resident. One
// that is gone has none.
func residentMemory(pids []int) uint64 {
	var pages uint64
	for _, pid := range pids {
		b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
		if err != nil {
			continue
		}
		if fields := strings.Fields(string(b)); len(fields) > 1 {
			n, _ := strconv.ParseUint(fields[1], 10, 64) // the kernel's own number
			pages += n
		}
	}
	return pages * uint64(os.Getpagesize())
}
