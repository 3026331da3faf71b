package frame

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"runsc-recover/checkpoint"
	"runsc-recover/test/expect"
)

// noise is bytes that can't be compressed.
func noise(n int) []byte {
	random := rand.NewChaCha8([32]byte{1})
	b := make([]byte, n)
	random.Read(b)
	return b
}

func pack(t testing.TB, contents []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	n, err := testCodec(t).PackFile(context.Background(), &out, bytes.NewReader(contents), 1<<30)
	if err != nil || n != int64(len(contents)) {
		t.Fatalf("packed %d bytes of %d: %v", n, len(contents), err)
	}
	return out.Bytes()
}

func TestPackedFileRoundTrip(t *testing.T) {
	for _, contents := range [][]byte{nil, {1}, make([]byte, Size), noise(Size), noise(Size + 1), append(noise(3*Size), make([]byte, Size)...)} {
		packed := pack(t, contents)
		if frames := (len(contents) + Size - 1) / Size; len(packed) > len(contents)+4*frames {
			t.Errorf("%d bytes became %d", len(contents), len(packed))
		}
		f, err := testCodec(t).UnpackFile(bytes.NewReader(packed), int64(len(contents)), "name")
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(f)
		if err != nil || !bytes.Equal(got, contents) {
			t.Errorf("%d bytes became %d: %v", len(contents), len(got), err)
		}
		if _, err := f.WriteAt([]byte{1}, 0); err == nil {
			t.Error("the contents can be written")
		}
		f.Close()
	}
}

func TestPackFileRefuses(t *testing.T) {
	c := testCodec(t)
	_, err := c.PackFile(t.Context(), io.Discard, bytes.NewReader(make([]byte, 100)), 99)
	expect.Equal(t, "too large", errors.Is(err, checkpoint.ErrFull), true)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.PackFile(ctx, io.Discard, bytes.NewReader(make([]byte, 100)), 100)
	expect.Equal(t, "cancelled", errors.Is(err, context.Canceled), true)
	_, err = c.PackFile(t.Context(), io.Discard, failing{}, 100)
	expect.Equal(t, "can't be read", errors.Is(err, io.ErrClosedPipe), true)
	_, err = c.PackFile(t.Context(), failing{}, bytes.NewReader(make([]byte, 100)), 100)
	expect.Equal(t, "can't be written", errors.Is(err, io.ErrClosedPipe), true)
}

// failing is a file on which nothing works.
type failing struct{}

func (failing) ReadAt([]byte, int64) (int, error) { return 0, io.ErrClosedPipe }

func (failing) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestHostilePackedFile(t *testing.T) {
	c := testCodec(t)
	sized := func(size uint32, b []byte) []byte { return append(binary.LittleEndian.AppendUint32(nil, size), b...) }
	whole := pack(t, make([]byte, 100))
	for name, b := range map[string][]byte{
		"nothing":                nil,
		"half a size":            whole[:2],
		"half a frame":           whole[:len(whole)-1],
		"a frame too large":      sized(101, make([]byte, 101)),
		"a frame far too large":  sized(1<<31, nil),
		"an empty frame":         sized(0, nil),
		"rubbish":                sized(10, make([]byte, 10)),
		"a frame of fewer bytes": pack(t, make([]byte, 99)),
		"a frame of more bytes":  pack(t, make([]byte, 101)),
	} {
		f, err := c.UnpackFile(bytes.NewReader(b), 100, "name")
		if !errors.Is(err, checkpoint.ErrDamaged) || f != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzUnpackFile: whatever a packed file holds, its contents have the size that
// was asked for, or are refused.
func FuzzUnpackFile(f *testing.F) {
	c := testCodec(f)
	f.Add(pack(f, make([]byte, 100)), int64(100))
	f.Add(pack(f, noise(Size+10)), int64(Size+10))
	f.Fuzz(func(t *testing.T, packed []byte, size int64) {
		if size < 0 || size > 1<<20 {
			return
		}
		contents, err := c.UnpackFile(bytes.NewReader(packed), size, "name")
		if err != nil {
			return
		}
		defer contents.Close()
		stat, err := contents.Stat()
		if err != nil || stat.Size() != size {
			t.Errorf("%v instead of %d bytes: %v", stat, size, err)
		}
	})
}
