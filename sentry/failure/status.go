package failure

const sigKill = 9

// ExitStatus is the status with which a container ends that fails so, when its
// sandbox can't say any more: 128+n for signal n, the program's own status for
// an exit, and that of KILL for all others.
func ExitStatus(kind Kind, code, signo int32) int {
	switch {
	case kind == Exit:
		return int(code) & 0xff
	case signo > 0 && signo <= maxSignal:
		return 128 + int(signo)
	}
	return 128 + sigKill
}
