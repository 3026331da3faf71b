package detect

import (
	"strings"

	"gvisor.dev/gvisor/pkg/hostarch"
	"gvisor.dev/gvisor/pkg/sentry/kernel"
)

// ProcessID returns the id of t's process in the root PID namespace, which is
// the container's.
func ProcessID(t *kernel.Task) kernel.ThreadID {
	return t.Kernel().RootPIDNamespace().IDOfThreadGroup(t.ThreadGroup())
}

// ThreadID returns t's id in the root PID namespace.
func ThreadID(t *kernel.Task) kernel.ThreadID {
	return t.Kernel().RootPIDNamespace().IDOfTask(t)
}

// isFirstProcess reports whether t belongs to the container's first process.
func isFirstProcess(t *kernel.Task) bool {
	leader := t.ThreadGroup().Leader()
	return leader.Parent() == nil && leader.Origin != kernel.OriginExec
}

// isExec reports whether t descends from a process that `exec` started. Such a
// process comes from outside and doesn't outlive a recovery, so its end isn't
// the container's failure.
func isExec(t *kernel.Task) bool {
	root := t.ThreadGroup().Leader()
	for p := root.Parent(); p != nil; p = root.Parent() {
		root = p.ThreadGroup().Leader()
	}
	return root.Origin == kernel.OriginExec
}

// programOf returns the name of t's process as valid UTF-8, for the records.
func programOf(t *kernel.Task) string {
	return printable([]byte(t.ThreadGroup().Leader().Name()))
}

// printable returns b as valid UTF-8 of the same length: a program in trouble
// is heard even when its message is garbled. Where b isn't valid, every byte
// beyond ASCII becomes a question mark.
func printable(b []byte) string {
	s := string(b)
	if valid := strings.ToValidUTF8(s, ""); len(valid) == len(s) {
		return s
	}
	out := make([]byte, len(b))
	for i, c := range b {
		if c >= 0x80 {
			c = '?'
		}
		out[i] = c
	}
	return string(out)
}

// locate returns the file and offset that addr is mapped from in t's memory,
// or "" and addr itself for anonymous memory.
//
// Preconditions: the caller runs on t's goroutine.
func locate(t *kernel.Task, addr uint64) (file string, offset uint64) {
	offset = addr
	mm := t.MemoryManager()
	if mm == nil {
		return
	}
	mm.ReadMapsDataInto(t, func(start, end hostarch.Addr, _ hostarch.AccessType, _ string, off uint64, _, _ uint32, inode uint64, path string) {
		if inode != 0 && hostarch.Addr(addr) >= start && hostarch.Addr(addr) < end {
			file, offset = path, off+addr-uint64(start)
		}
	})
	return
}
