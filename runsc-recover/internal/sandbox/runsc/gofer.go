package runsc

import (
	"errors"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

var errGoferDied = errors.New("the sandbox's gofer died")

// watchGofer kills the sandbox when its gofer ends first: a program whose files
// are gone must not run on, nor be checkpointed. It returns when either has
// ended.
func (s *instance) watchGofer() {
	if s.gofer == 0 {
		return
	}
	fd, err := unix.PidfdOpen(s.gofer, unix.PIDFD_NONBLOCK)
	if err != nil {
		return // without pidfds only the program sees its files fail
	}
	gofer := os.NewFile(uintptr(fd), "gofer")
	go func() {
		<-s.reaped
		gofer.Close()
	}()
	conn, err := gofer.SyscallConn()
	if err != nil {
		return
	}
	ended := func(fd uintptr) bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return n > 0 && err == nil && s.goferEnd() != (ending{})
	}
	if conn.Read(ended) == nil {
		s.kill()
	}
}

// ending is the end of a process, as waitid(2) reports it; the zero value is
// that of a process that lives.
type ending struct{ code, status int32 }

// cldExited is CLD_EXITED of waitid(2).
const cldExited = 1

// goferEnd looks at the gofer's zombie, which stays for gVisor to reap in
// Destroy. A pidfd alone doesn't tell: it is ready for a moment of every exec
// by another thread than the first, and gofers begin with one.
func (s *instance) goferEnd() ending {
	const code, status = 2, 6 // places in siginfo_t, see sigaction(2)
	var info unix.Siginfo
	if err := unix.Waitid(unix.P_PID, s.gofer, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); err != nil {
		return ending{}
	}
	words := (*[unsafe.Sizeof(info) / 4]int32)(unsafe.Pointer(&info))
	return ending{words[code], words[status]}
}

// goferDied reports whether the gofer came to a bad end, unlike a gofer that ends
// because its sandbox did. It waits for a moment, since gVisor notices the end of
// the gofer's connection before the gofer has ended.
func (s *instance) goferDied() bool {
	const moment, step = 20 * time.Millisecond, time.Millisecond
	if s.gofer == 0 {
		return false
	}
	end := s.goferEnd()
	for until := time.Now().Add(moment); end == (ending{}) && time.Now().Before(until); end = s.goferEnd() {
		time.Sleep(step)
	}
	return end != (ending{}) && end != ending{code: cldExited}
}
