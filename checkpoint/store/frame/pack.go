package frame

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/memfile"
)

// A packed file is one frame after the other, each behind its size as it is
// stored (4 bytes, little-endian). All but the last hold frameSize bytes.

// PackFile packs the contents of a file and returns how many bytes of them
// there are. What is read is what is packed, even if the file changes
// meanwhile. Errors: ErrFull when there are more than maxBytes, ctx's.
func (c *Codec) PackFile(ctx context.Context, to io.Writer, from *os.File, maxBytes int64) (int64, error) {
	out := bufio.NewWriterSize(to, 1<<20)
	frame := make([]byte, Size)
	var packed []byte
	for at := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		n, err := from.ReadAt(frame, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, fmt.Errorf("read what is to be packed: %w", err)
		}
		if n == 0 {
			return at, out.Flush()
		}
		if at += int64(n); at > maxBytes {
			return 0, fmt.Errorf("%w: it is larger than a checkpoint may be", checkpoint.ErrFull)
		}
		packed = c.Pack(packed, frame[:n])
		if err := errors.Join(binary.Write(out, binary.LittleEndian, uint32(len(packed))), writeAll(out, packed)); err != nil {
			return 0, err
		}
	}
}

func writeAll(w io.Writer, b []byte) error {
	_, err := w.Write(b)
	return err
}

// UnpackFile returns the contents of a packed file, of which there are size
// bytes, for reading. Errors: ErrDamaged.
func (c *Codec) UnpackFile(from *os.File, size int64, name checkpoint.FileName) (*os.File, error) {
	to, err := memfile.New(string(name))
	if err != nil {
		return nil, err
	}
	in := bufio.NewReaderSize(from, 1<<20)
	frame, stored := make([]byte, Size), make([]byte, Size)
	for at := int64(0); at < size && err == nil; {
		var n int
		if n, err = c.unpackFrame(in, frame[:min(Size, size-at)], stored); err == nil {
			_, err = to.WriteAt(frame[:n], at)
			at += int64(n)
		}
	}
	defer to.Close()
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", name, err)
	}
	return memfile.Reopen(to)
}

// unpackFrame fills frame with the next one. stored has frameSize bytes.
func (c *Codec) unpackFrame(in io.Reader, frame, stored []byte) (int, error) {
	var size uint32
	if err := binary.Read(in, binary.LittleEndian, &size); err != nil {
		return 0, fmt.Errorf("%w: %w", checkpoint.ErrDamaged, err)
	}
	if int64(size) > int64(len(frame)) {
		return 0, fmt.Errorf("%w: a frame of %d bytes", checkpoint.ErrDamaged, size)
	}
	if _, err := io.ReadFull(in, stored[:size]); err != nil {
		return 0, fmt.Errorf("%w: %w", checkpoint.ErrDamaged, err)
	}
	return len(frame), c.Unpack(frame, stored[:size])
}
