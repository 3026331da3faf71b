package store

import (
	"fmt"

	"github.com/klauspost/compress/zstd"

	"runsc-recover/checkpoint"
)

// frameSize is the most that a frame holds, before it is compressed.
const frameSize = 64 << 10

// codec compresses frames. It is safe for concurrent use.
type codec struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

func newCodec() (*codec, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(frameSize), zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fmt.Errorf("make a compressor: %w", err)
	}
	// What comes out never exceeds the room given for it, whatever goes in.
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(frameSize),
		zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, fmt.Errorf("make a decompressor: %w", err)
	}
	return &codec{enc, dec}, nil
}

// pack returns what is stored for a frame: the frame itself where compressing
// it gains nothing. It may use the memory of dst.
func (c *codec) pack(dst, frame []byte) []byte {
	if dst = c.enc.EncodeAll(frame, dst[:0]); len(dst) < len(frame) {
		return dst
	}
	return append(dst[:0], frame...)
}

// unpack is the inverse of pack: it fills frame. Errors: ErrDamaged.
func (c *codec) unpack(frame, stored []byte) error {
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
