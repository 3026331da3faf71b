// Package procusage reads how much memory and processor time host processes
// use.
//
// It must not know whose processes they are. It has no locks and no goroutines.
package procusage

import (
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"runsc-recover/oci/statedir"
)

// ResidentMemory adds up the memory, in bytes, that processes have resident. A
// process that is gone has none.
func ResidentMemory(pids []int) uint64 {
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

// HostMemory returns the host's memory, in bytes.
func HostMemory() uint64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0 // the call can't fail
	}
	return info.Totalram * uint64(info.Unit)
}

// ProcessorTime adds up the processors' time that processes have taken. A process
// that is gone has taken none.
func ProcessorTime(pids []int) (sum time.Duration) {
	for _, pid := range pids {
		n, err := statedir.ProcessorTime(pid)
		if err == nil {
			sum += n
		}
	}
	return sum
}
