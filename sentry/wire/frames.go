package wire

import (
	"encoding/binary"
	"fmt"
)

// MaxFrames bounds a file of frames, in bytes.
const MaxFrames = 4 << 20

// FrameOverhead is the size of a frame's length in a file of frames, in bytes.
const FrameOverhead = 4

// AppendFrame appends a frame to a file of frames: its length in four bytes,
// little-endian, then the frame.
func AppendFrame(b, frame []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(frame))), frame...)
}

// DecodeFrames returns the frames of a file, which are parts of b. Errors:
// ErrTooLarge, ErrMalformed.
func DecodeFrames(b []byte) ([][]byte, error) {
	if len(b) > MaxFrames {
		return nil, fmt.Errorf("decode frames of %d bytes: %w", len(b), ErrTooLarge)
	}
	var frames [][]byte
	for len(b) > 0 {
		if len(b) < FrameOverhead {
			return nil, fmt.Errorf("decode frames: %w: %d bytes after the last one", ErrMalformed, len(b))
		}
		n := binary.LittleEndian.Uint32(b)
		b = b[FrameOverhead:]
		if uint64(n) > uint64(len(b)) {
			return nil, fmt.Errorf("decode frames: %w: one of %d bytes, and %d are left", ErrMalformed, n, len(b))
		}
		frames, b = append(frames, b[:n:n]), b[n:]
	}
	return frames, nil
}
