package dirtytrack

import "unsafe"

// around returns the mapping of size bytes that begins at bytes before b.
func around(b []byte, at, size uint64) []byte {
	return unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(&b[0]), -int(at))), size)
}
