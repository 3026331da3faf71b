package statedir

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Process names a process of the host for good: a pid alone may be given to
// another process later, a pid with its start time can't.
type Process struct {
	Pid int `json:"pid"`
	// StartTime is field 22 of /proc/PID/stat, in clock ticks after boot.
	StartTime uint64 `json:"start_time"`
}

// ErrNoProcess says that there is no process with that pid.
var ErrNoProcess = errors.New("no such process")

// FindProcess returns the process that has that pid now. Errors: ErrNoProcess.
func FindProcess(pid int) (Process, error) {
	st, err := readStat(pid)
	return Process{Pid: pid, StartTime: st.start}, err
}

// Alive reports whether the process still runs. A zombie doesn't.
func (p Process) Alive() bool {
	if p.Pid <= 0 {
		return false
	}
	st, err := readStat(p.Pid)
	return err == nil && st.start == p.StartTime && st.state != 'Z' && st.state != 'X'
}

// ProcessorTime is how much of processors' time a process has taken so far, its
// children left out. Errors: ErrNoProcess.
func ProcessorTime(pid int) (time.Duration, error) {
	st, err := readStat(pid)
	return st.work, err
}

// procStat holds the fields of /proc/PID/stat that are of use.
type procStat struct {
	state byte
	start uint64 // clock ticks after boot
	work  time.Duration
}

func readStat(pid int) (procStat, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return procStat{}, fmt.Errorf("%w: %d", ErrNoProcess, pid)
	}
	return parseStat(b)
}

// parseStat reads the contents of /proc/PID/stat. The command's name, in
// parentheses, may itself hold spaces and parentheses.
func parseStat(b []byte) (procStat, error) {
	const stateField, utimeField, stimeField, startField = 0, 11, 12, 19 // counted after the name
	const tick = time.Second / 100                                       // USER_HZ is the same on all of Linux's architectures that we know
	i := bytes.LastIndexByte(b, ')')
	fields := strings.Fields(string(b[i+1:]))
	if i < 0 || len(fields) <= startField || len(fields[stateField]) != 1 {
		return procStat{}, fmt.Errorf("parse process state %q", b)
	}
	var n [startField + 1]uint64
	for _, f := range []int{utimeField, stimeField, startField} {
		var err error
		if n[f], err = strconv.ParseUint(fields[f], 10, 64); err != nil {
			return procStat{}, fmt.Errorf("parse process state %q: %w", b, err)
		}
	}
	return procStat{
		state: fields[stateField][0],
		start: n[startField],
		work:  time.Duration(n[utimeField]+n[stimeField]) * tick,
	}, nil
}
