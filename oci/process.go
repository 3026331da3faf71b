package oci

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
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
	_, start, err := readStat(pid)
	return Process{Pid: pid, StartTime: start}, err
}

// Alive reports whether the process still runs. A zombie doesn't.
func (p Process) Alive() bool {
	if p.Pid <= 0 {
		return false
	}
	state, start, err := readStat(p.Pid)
	return err == nil && start == p.StartTime && state != 'Z' && state != 'X'
}

func readStat(pid int) (state byte, start uint64, err error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, 0, fmt.Errorf("%w: %d", ErrNoProcess, pid)
	}
	return parseStat(b)
}

// parseStat reads state and start time from the contents of /proc/PID/stat.
// The command's name, in parentheses, may itself hold spaces and parentheses.
func parseStat(b []byte) (state byte, start uint64, err error) {
	const stateField, startField = 0, 19 // counted after the name
	i := bytes.LastIndexByte(b, ')')
	fields := bytes.Fields(b[i+1:])
	if i < 0 || len(fields) <= startField || len(fields[stateField]) != 1 {
		return 0, 0, fmt.Errorf("parse process state %q", b)
	}
	start, err = strconv.ParseUint(string(fields[startField]), 10, 64)
	if err != nil {
		return 0, 0, fmt.Errorf("parse process start time: %w", err)
	}
	return fields[stateField][0], start, nil
}
