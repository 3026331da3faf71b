// Package signals knows Linux's signals as users of containers name them: a
// number, or a name in any case, with or without SIG, real-time signals
// included.
//
// It must not know a signal's purpose.
package signals

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The real-time signals as programs see them: the C library keeps the kernel's
// first two for its own threads.
const (
	rtMin = 34
	rtMax = 64
)

// Parse reads a signal's number, from 0 to 64, or name, RTMIN+n and RTMAX-n
// among them.
func Parse(s string) (signal int, ok bool) {
	if n, err := strconv.Atoi(s); err == nil {
		return n, 0 <= n && n <= rtMax
	}
	name := "SIG" + strings.TrimPrefix(strings.ToUpper(s), "SIG")
	if n := unix.SignalNum(name); n != 0 {
		return int(n), true
	}
	return realTime(name)
}

func realTime(name string) (signal int, ok bool) {
	base, sign := rtMin, 1
	rest, ok := strings.CutPrefix(name, "SIGRTMIN")
	if !ok {
		base, sign = rtMax, -1
		if rest, ok = strings.CutPrefix(name, "SIGRTMAX"); !ok {
			return 0, false
		}
	}
	if rest == "" {
		return base, true
	}
	if rest[0] != "-+"[(sign+1)/2] {
		return 0, false
	}
	offset, err := strconv.ParseUint(rest[1:], 10, 8)
	n := base + sign*int(offset)
	return n, err == nil && rtMin <= n && n <= rtMax
}

// Catchable reports whether a program can have a handler for the signal: the
// kernel lets nobody catch KILL and STOP, and the C library keeps two for its
// threads.
func Catchable(signal int) bool {
	return 1 <= signal && signal <= rtMax && signal != int(unix.SIGKILL) && signal != int(unix.SIGSTOP) && (signal < 32 || signal >= rtMin)
}
