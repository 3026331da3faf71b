package pageindex

import (
	"errors"
	"reflect"
	"testing"
)

func testLoaded() Loaded {
	f := LoadedFile{Dev: 1, Ino: 2}
	f.Add(LoadedRun{Page: 10, Place: 0, Pages: 2})
	f.Add(LoadedRun{Page: 12, Place: 2, Pages: 1}) // goes on
	f.Add(LoadedRun{Page: 13, Place: 4, Pages: 1})
	f.Add(LoadedRun{Page: 15, Place: 5, Pages: 1})
	return Loaded{Files: []LoadedFile{f, {Dev: 3, Ino: 4}}, Sums: []uint64{1, 2, 3, 0, 5, ^uint64(0)}}
}

func TestLoadedRoundTrip(t *testing.T) {
	l := testLoaded()
	if n := len(l.Files[0].Runs); n != 3 {
		t.Errorf("%d runs", n)
	}
	for _, want := range []Loaded{l, {Sums: []uint64{}}} {
		got, err := DecodeLoaded(want.Encode())
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
}

func TestDecodeLoadedRefuses(t *testing.T) {
	l := testLoaded()
	b := l.Encode()
	for n := range b {
		if _, err := DecodeLoaded(b[:n]); !errors.Is(err, ErrMalformed) {
			t.Fatalf("%d bytes of %d: %v", n, len(b), err)
		}
	}
	l.Files[0].Runs[2].Pages++
	if _, err := DecodeLoaded(l.Encode()); !errors.Is(err, ErrMalformed) {
		t.Errorf("a page without a sum: %v", err)
	}
}

func FuzzDecodeLoaded(f *testing.F) {
	l := testLoaded()
	f.Add(l.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := DecodeLoaded(b)
		if err == nil && string(l.Encode()) != string(b) {
			t.Errorf("%x is decoded as %+v", b, l)
		}
	})
}
