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
// stored (4 bytes, little-endian). All but the last hold Size bytes.

// PackFile writes the contents of a file, in packed form, and returns how many
// bytes the file has. Each byte is read once, even if the file changes
// meanwhile. Errors: ErrFull when the file has more than maxBytes, ctx's, to's.
func (c *Codec) PackFile(ctx context.Context, to io.Writer, from io.ReaderAt, maxBytes int64) (int64, error) {
	out := bufio.NewWriterSize(to, 1<<20)
	frame := make([]byte, Size)
	var packed []byte
	for at := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		n, err := from.ReadAt(frame, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, fmt.Errorf("read the file to pack: %w", err)
		}
		if n == 0 {
			return at, out.Flush()
		}
		if at += int64(n); at > maxBytes {
			return 0, fmt.Errorf("%w: it is larger than a checkpoint may be", checkpoint.ErrFull)
		}
		packed = c.Pack(packed, frame[:n])
		if err := writeFrame(out, packed); err != nil {
			return 0, err
		}
	}
}

func writeFrame(out io.Writer, packed []byte) error {
	if err := binary.Write(out, binary.LittleEndian, uint32(len(packed))); err != nil {
		return err
	}
	_, err := out.Write(packed)
	return err
}

// UnpackFile returns a new file in memory with the contents of a packed file,
// open for reading and positioned at its start. size is how many bytes the
// contents have; the caller bounds it. Errors: ErrDamaged, the operating
// system's.
func (c *Codec) UnpackFile(from io.Reader, size int64, name string) (*os.File, error) {
	to, err := memfile.New(name)
	if err != nil {
		return nil, err
	}
	defer to.Close()
	in := bufio.NewReaderSize(from, 1<<20)
	frame, stored := make([]byte, Size), make([]byte, Size)
	for at := int64(0); at < size && err == nil; at += int64(len(frame)) {
		frame = frame[:min(Size, size-at)]
		if err = c.readFrame(in, frame, stored); err == nil {
			_, err = to.WriteAt(frame, at)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", name, err)
	}
	return memfile.Reopen(to)
}

// readFrame fills frame with the next one of a packed file. stored is a buffer
// of Size bytes.
func (c *Codec) readFrame(in io.Reader, frame, stored []byte) error {
	var size uint32
	if err := binary.Read(in, binary.LittleEndian, &size); err != nil {
		return fmt.Errorf("%w: %w", checkpoint.ErrDamaged, err)
	}
	if int64(size) > int64(len(frame)) {
		return fmt.Errorf("%w: a frame of %d bytes", checkpoint.ErrDamaged, size)
	}
	if _, err := io.ReadFull(in, stored[:size]); err != nil {
		return fmt.Errorf("%w: %w", checkpoint.ErrDamaged, err)
	}
	return c.Unpack(frame, stored[:size])
}
