package supervisor

import (
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"runsc-recover/oci"
)

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

func hostMemory() uint64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0 // it can't fail
	}
	return info.Totalram * uint64(info.Unit)
}

// processorTime adds up what of processors' time processes have taken. One that
// is gone has taken none.
func processorTime(pids []int) (sum time.Duration) {
	for _, pid := range pids {
		n, err := oci.ProcessorTime(pid)
		if err == nil {
			sum += n
		}
	}
	return sum
}
