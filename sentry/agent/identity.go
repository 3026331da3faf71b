package agent

import (
	"encoding/binary"
	"hash/fnv"
	"strings"

	"gvisor.dev/gvisor/pkg/hostarch"
	"gvisor.dev/gvisor/pkg/sentry/kernel"
)

// keyMessage is how much of a message goes into a derived key (abi.md).
const keyMessage = 64

// The keys are FNV-1a, 64 bits, over a tag for the kind and the parts that
// abi.md names. They are compared within one container only.

func reportKey(code int32, message []byte, program string) uint64 {
	return key('r', uint64(uint32(code)), message[:min(len(message), keyMessage)], program)
}

func signalKey(signo int32, file string, offset uint64, program string) uint64 {
	return key('s', uint64(uint32(signo))<<32^offset, []byte(file), program)
}

func exitKey(status int32, program string) uint64 {
	return key('x', uint64(uint32(status)), nil, program)
}

func hangKey(program string) uint64 {
	return key('h', 0, nil, program)
}

func key(tag byte, number uint64, text []byte, program string) uint64 {
	h := fnv.New64a()
	h.Write(binary.LittleEndian.AppendUint64([]byte{tag}, number))
	h.Write(text)
	h.Write([]byte{0})
	h.Write([]byte(program))
	if sum := h.Sum64(); sum != 0 {
		return sum
	}
	return 1
}

// programOf returns the name of t's process as valid UTF-8, for the records.
func programOf(t *kernel.Task) string {
	return printable([]byte(t.ThreadGroup().Leader().Name()))
}

// printable returns b as valid UTF-8 of the same length: a program in trouble
// is heard even when its message is garbled.
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
