package frame

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/zstd"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/pageindex"
)

func testCodec(t testing.TB) *Codec {
	t.Helper()
	c, err := NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// someFrames are frames of all lengths, that can be compressed or not.
func someFrames() [][]byte {
	random := rand.New(rand.NewPCG(1, 2))
	var all [][]byte
	for n := 1; n <= Size/pageindex.PageSize; n++ {
		noise := make([]byte, n*pageindex.PageSize)
		for i := range noise {
			noise[i] = byte(random.Uint32())
		}
		half := bytes.Clone(noise)
		clear(half[len(half)/2:])
		all = append(all, noise, half, make([]byte, n*pageindex.PageSize))
	}
	return all
}

func TestFramesRoundTrip(t *testing.T) {
	c := testCodec(t)
	for _, frame := range someFrames() {
		packed := c.Pack(nil, frame)
		if len(packed) > len(frame) {
			t.Errorf("%d bytes became %d", len(frame), len(packed))
		}
		got := make([]byte, len(frame))
		if err := c.Unpack(got, packed); err != nil || !bytes.Equal(got, frame) {
			t.Errorf("a frame of %d bytes, packed into %d, isn't the same after it: %v", len(frame), len(packed), err)
		}
	}
}

// TestHostileFrames: a frame that says it is larger, or is, gives no more than
// the room for it.
func TestHostileFrames(t *testing.T) {
	c := testCodec(t)
	big, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, stored := range map[string][]byte{
		"nothing":       nil,
		"rubbish":       []byte("rubbish"),
		"a bomb":        big.EncodeAll(make([]byte, 256<<20), nil),
		"a longer one":  big.EncodeAll(make([]byte, Size+1), nil),
		"a shorter one": big.EncodeAll(make([]byte, Size-1), nil),
		"half of one":   big.EncodeAll([]byte("half of it is missing"), nil)[:12],
		"two":           append(big.EncodeAll(make([]byte, Size), nil), big.EncodeAll(make([]byte, 1), nil)...),
	} {
		frame := make([]byte, Size)
		if err := c.Unpack(frame, stored); !errors.Is(err, checkpoint.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	c := testCodec(f)
	for _, frame := range someFrames()[:6] {
		f.Add(c.Pack(nil, frame))
	}
	f.Fuzz(func(t *testing.T, stored []byte) {
		frame := make([]byte, 2*pageindex.PageSize, 3*pageindex.PageSize)
		if len(stored) > len(frame) {
			return
		}
		_ = c.Unpack(frame, stored)
		if beyond := frame[len(frame):cap(frame)]; !bytes.Equal(beyond, make([]byte, pageindex.PageSize)) {
			t.Error("more was written than there was room for")
		}
	})
}
