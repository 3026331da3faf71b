package config

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Linux's real-time signals as the C library numbers them: it keeps the
// kernel's first two for its own threads.
const (
	sigRTMin = 34
	sigRTMax = 64
)

func setSignal(c *Config, v string) bool {
	n, ok := signalNumber(v)
	c.Signal = n
	return ok && catchable(n)
}

// signalNumber reads a signal's number or name, with or without SIG, and
// RTMIN+n and RTMAX-n.
func signalNumber(v string) (int, bool) {
	if n, err := strconv.Atoi(v); err == nil {
		return n, true
	}
	name := strings.TrimPrefix(strings.ToUpper(v), "SIG")
	if base, offset, found := realTime(name); found {
		return base + offset, offset == 0 || sigRTMin <= base+offset && base+offset <= sigRTMax
	}
	n := int(unix.SignalNum("SIG" + name))
	return n, n > 0
}

// realTime splits RTMIN, RTMIN+n, RTMAX and RTMAX-n.
func realTime(name string) (base, offset int, found bool) {
	rest, isMin := strings.CutPrefix(name, "RTMIN")
	if !isMin {
		var isMax bool
		if rest, isMax = strings.CutPrefix(name, "RTMAX"); !isMax {
			return 0, 0, false
		}
	}
	base, sign := sigRTMax, "-"
	if isMin {
		base, sign = sigRTMin, "+"
	}
	if rest == "" {
		return base, 0, true
	}
	if !strings.HasPrefix(rest, sign) {
		return 0, 0, false
	}
	offset, err := strconv.Atoi(rest)
	return base, offset, err == nil
}

// catchable: not those that the kernel lets nobody catch, nor those that the C
// library keeps for its threads.
func catchable(n int) bool {
	return 1 <= n && n <= sigRTMax && n != int(unix.SIGKILL) && n != int(unix.SIGSTOP) && (n < 32 || n >= sigRTMin)
}
