package wire

import (
	"bytes"
	"errors"
	"testing"
)

func TestFrames(t *testing.T) {
	var b []byte
	in := [][]byte{[]byte("one"), {}, bytes.Repeat([]byte{7}, 1500)}
	for _, f := range in {
		b = AppendFrame(b, f)
	}
	out, err := DecodeFrames(b)
	if err != nil || len(out) != len(in) {
		t.Fatalf("%d frames, %v", len(out), err)
	}
	for i := range in {
		if !bytes.Equal(in[i], out[i]) {
			t.Errorf("frame %d: %q, want %q", i, out[i], in[i])
		}
	}
	for _, c := range []struct {
		name string
		in   []byte
		want error
	}{
		{"half a length", b[:len(b)-1502], ErrMalformed},
		{"half a frame", b[:len(b)-1], ErrMalformed},
		{"a length beyond the end", []byte{0xff, 0xff, 0xff, 0xff, 0}, ErrMalformed},
		{"too large", make([]byte, MaxFrames+1), ErrTooLarge},
	} {
		if _, err := DecodeFrames(c.in); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}
