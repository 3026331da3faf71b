package cli

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"runsc-recover/oci/errdefs"
)

// The real-time signals as programs see them: glibc keeps the first two.
const (
	sigrtmin = 34
	sigrtmax = 64
)

// parseSignal reads a signal's number or name, with or without SIG, in any
// case, real-time signals included (RTMIN+8).
func parseSignal(s string) (int, error) {
	if n, err := strconv.Atoi(s); err == nil {
		if n < 0 || n > sigrtmax {
			return 0, unknownSignal(s)
		}
		return n, nil
	}
	name := "SIG" + strings.TrimPrefix(strings.ToUpper(s), "SIG")
	if n := unix.SignalNum(name); n != 0 {
		return int(n), nil
	}
	if n, ok := realTimeSignal(name); ok {
		return n, nil
	}
	return 0, unknownSignal(s)
}

func realTimeSignal(name string) (int, bool) {
	base, sign := sigrtmin, 1
	rest, ok := strings.CutPrefix(name, "SIGRTMIN")
	if !ok {
		base, sign = sigrtmax, -1
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
	off, err := strconv.ParseUint(rest[1:], 10, 8)
	n := base + sign*int(off)
	return n, err == nil && n >= sigrtmin && n <= sigrtmax
}

func unknownSignal(s string) error {
	return errdefs.Errorf(errdefs.CodeRequest, "unknown signal %q", s)
}
