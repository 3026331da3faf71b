// Package frame compresses data in frames with zstd, each by itself, so that
// any of them can be read without the others.
//
// Frames are read from disks that may hold anything: decompressing never gives
// more than the room for the frame, and neither time nor memory depend on more
// than its size. It must not know whose data it is. The package has no locks
// and starts no goroutines.
package frame

import (
	"fmt"

	"github.com/klauspost/compress/zstd"

	"runsc-recover/checkpoint"
)

// Size is the most that a frame holds, before it is compressed.
const Size = 64 << 10

// Codec compresses frames. It is safe for concurrent use.
type Codec struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

func NewCodec() (*Codec, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(Size), zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fmt.Errorf("make a compressor: %w", err)
	}
	// What comes out never exceeds the room given for it, whatever goes in.
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(Size),
		zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, fmt.Errorf("make a decompressor: %w", err)
	}
	return &Codec{enc, dec}, nil
}

// Pack returns what is stored for a frame: the frame itself where compressing
// it gains nothing. It may use the memory of dst.
func (c *Codec) Pack(dst, frame []byte) []byte {
	if dst = c.enc.EncodeAll(frame, dst[:0]); len(dst) < len(frame) {
		return dst
	}
	return append(dst[:0], frame...)
}

// Unpack is the inverse of pack: it fills frame. Errors: ErrDamaged.
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
