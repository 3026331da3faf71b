// Package programtext releases the memory that holds unchanged pages of this
// program's own file.
//
// It must not know the rest of the process's memory. It has no locks and no
// goroutines.
package programtext

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Unmap takes the unchanged pages of this program's file out of its memory: most
// were needed once, to start it. Those that are needed again come back from the
// page cache, where all processes of this program share them.
func Unmap() error {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return err
	}
	defer maps.Close()
	ranges, err := constantRanges(maps, program)
	if err != nil {
		return err
	}
	for _, r := range ranges {
		_, _, errno := unix.Syscall(unix.SYS_MADVISE, r.start, r.end-r.start, unix.MADV_DONTNEED)
		if errno != 0 {
			return os.NewSyscallError("madvise", errno)
		}
	}
	return nil
}

// addressRange is from start up to, not including, end.
type addressRange struct{ start, end uintptr }

// constantRanges returns where a file is mapped so that it can't have been
// changed, by the text of /proc/self/maps.
func constantRanges(maps io.Reader, file string) (ranges []addressRange, err error) {
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 || strings.Join(fields[5:], " ") != file || strings.Contains(fields[1], "w") {
			continue
		}
		var r addressRange
		if _, err := fmt.Sscanf(fields[0], "%x-%x", &r.start, &r.end); err != nil {
			return nil, fmt.Errorf("read %q: %w", fields[0], err)
		}
		ranges = append(ranges, r)
	}
	return ranges, lines.Err()
}
