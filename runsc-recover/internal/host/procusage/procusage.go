// Package procusage reads how much memory and processor time host processes
// use.
//
// It must not know whose processes they are.
package procusage

import (
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"runsc-recover/oci/statedir"
)

// ResidentMemory is the memory, in bytes, that processes have resident. One
// that is gone has none.
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

func HostMemory() uint64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0 // it can't fail
	}
	return info.Totalram * uint64(info.Unit)
}

// ProcessorTime adds up what of processors' time processes have taken. One that
// is gone has taken none.
func ProcessorTime(pids []int) (sum time.Duration) {
	for _, pid := range pids {
		n, err := statedir.ProcessorTime(pid)
		if err == nil {
			sum += n
		}
	}
	return sum
}
