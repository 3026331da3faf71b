package failure

import (
	"encoding/binary"
	"hash/fnv"
)

// Keys of failures that the host detects. All deaths of a sandbox look alike
// from outside.
const (
	KeySandboxDied = 0x73616e64626f7821 // "sandbox!"
	KeyOutOfMemory = 0x6f6f6d2d6b696c6c // "oom-kill"
)

// keyMessage is how much of a message goes into a derived key (abi.md), in bytes.
const keyMessage = 64

// Derived keys are FNV-1a, 64 bits, over a tag for the kind and the parts that
// abi.md names. They are compared within one container only.

// KeyOfReport derives the key of a reported failure.
func KeyOfReport(code int32, message []byte, program string) uint64 {
	return key('r', uint64(uint32(code)), message[:min(len(message), keyMessage)], program)
}

// KeyOfSignal derives the key of a fatal signal, at an offset in a file.
func KeyOfSignal(signo int32, file string, offset uint64, program string) uint64 {
	return key('s', uint64(uint32(signo))<<32^offset, []byte(file), program)
}

// KeyOfExit derives the key of an exit.
func KeyOfExit(status int32, program string) uint64 {
	return key('x', uint64(uint32(status)), nil, program)
}

// KeyOfHang derives the key of a missed heartbeat.
func KeyOfHang(program string) uint64 {
	return key('h', 0, nil, program)
}

// key is never 0.
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
