// Package frame compresses data in frames with zstd, each frame by itself, so
// that one can be read without the others; and it has the format of a file
// that is a sequence of frames.
//
// Frames are read from disks that may hold anything: decompression never writes
// more than the room for the frame, and takes no more memory than a few frames.
// The package must not know whose data it compresses. It has no locks and
// starts no goroutines.
package frame

import (
	"fmt"

	"github.com/klauspost/compress/zstd"

	"runsc-recover/checkpoint"
)

// Size is the most bytes that a frame holds, before compression.
const Size = 64 << 10

// Codec compresses frames. It is safe for concurrent use.
type Codec struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

// NewCodec returns a codec for frames of at most Size bytes.
func NewCodec() (*Codec, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(Size), zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fmt.Errorf("make a compressor: %w", err)
	}
	// The limits hold for any input: no output exceeds the room given for it.
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(Size),
		zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, fmt.Errorf("make a decompressor: %w", err)
	}
	return &Codec{enc, dec}, nil
}

// Pack returns the stored form of a frame: compressed, or the frame itself
// where compression gains nothing, so never longer than the frame. The result
// may use the memory of dst, and none of frame's.
func (c *Codec) Pack(dst, frame []byte) []byte {
	if dst = c.enc.EncodeAll(frame, dst[:0]); len(dst) < len(frame) {
		return dst
	}
	return append(dst[:0], frame...)
}

// Unpack is the inverse of Pack: it fills frame, whose length says how many
// bytes the frame holds. Errors: ErrDamaged when stored isn't a frame of that
// length; frame may be overwritten in part then.
func (c *Codec) Unpack(frame, stored []byte) error {
	if len(stored) == len(frame) {
		copy(frame, stored)
		return nil
	}
	out, err := c.dec.DecodeAll(stored, frame[:0:len(frame)])
	if err != nil {
		return fmt.Errorf("%w: %w", checkpoint.ErrDamaged, err)
	}
	if len(out) != len(frame) {
		return fmt.Errorf("%w: a frame has %d bytes, not %d", checkpoint.ErrDamaged, len(out), len(frame))
	}
	return nil
}
