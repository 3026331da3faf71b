package pageindex

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cespare/xxhash/v2"
)

// randomIndex returns an index of pages that exist, and the same as a list of
// single pages.
func randomIndex(random *rand.Rand, parent, staged uint64) (index []Run, flat []Run) {
	for range random.IntN(20) {
		r := Run{Source: Source(random.IntN(2))}
		limit := []uint64{parent, staged}[r.Source]
		if limit == 0 {
			continue
		}
		r.Page = random.Uint64N(limit)
		r.Pages = 1 + random.Uint64N(min(limit-r.Page, 100))
		index = Append(index, r)
		for i := range r.Pages {
			flat = append(flat, Run{r.Source, r.Page + i, 1})
		}
	}
	return index, flat
}

func TestRoundTrip(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		want, _ := randomIndex(random, 1<<40, 50)
		got, err := Decode(AppendTo(nil, want))
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("got %v, %v, want %v", got, err, want)
		}
	}
}

func TestResolveIsPageByPage(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 1000 {
		parent, addresses := randomIndex(random, 1000, 0)
		index, flat := randomIndex(random, uint64(len(addresses)), 30)
		got, err := Resolve(index, parent, 5000, 30, 1000)
		if err != nil {
			t.Fatal(err)
		}
		var want []Run
		for _, r := range flat {
			if r.Source == Staged {
				want = Append(want, Run{Page: 5000 + r.Page, Pages: 1})
			} else {
				want = Append(want, addresses[r.Page])
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%v of parent %v: got %v, want %v", index, parent, got, want)
		}
	}
}

func TestResolveRefusesWhatIsNotThere(t *testing.T) {
	parent := []Run{{Page: 100, Pages: 10}}
	for _, r := range []Run{{Parent, 0, 11}, {Parent, 10, 1}, {Parent, maxPage, maxPage}, {Staged, 5, 1}, {Staged, 0, 6}} {
		if _, err := Resolve([]Run{r}, parent, 0, 5, 10); !errors.Is(err, ErrMalformed) {
			t.Errorf("%v: %v", r, err)
		}
	}
}

func TestEach(t *testing.T) {
	index := []Run{{Page: 10, Pages: 2}, {Page: 30, Pages: 3}, {Page: 5, Pages: 1}}
	r := NewReader(index)
	for page := range uint64(7) {
		for pages := range uint64(8) {
			var got, want []uint64
			r.Each(page, pages, func(r Run) {
				for i := range r.Pages {
					got = append(got, r.Page+i)
				}
			})
			if all := []uint64{10, 11, 30, 31, 32, 5}; page < 6 {
				want = all[page:min(page+pages, 6)]
			}
			if !slices.Equal(got, want) {
				t.Errorf("%d pages from %d: got %v, want %v", pages, page, got, want)
			}
		}
	}
}

func TestDecodeDamagedInAnyByte(t *testing.T) {
	data := AppendTo(nil, []Run{{Parent, 7, 3}, {Staged, 0, 200}, {Parent, 2, 1}})
	for i := range data {
		bad := bytes.Clone(data)
		bad[i] ^= 0x41
		if _, err := Decode(bad); !errors.Is(err, ErrMalformed) {
			t.Errorf("byte %d changed: %v", i, err)
		}
		if _, err := Decode(data[:i]); !errors.Is(err, ErrMalformed) {
			t.Errorf("cut off after %d: %v", i, err)
		}
	}
}

// sealed gives any body the right hash.
func sealed(body []byte) []byte {
	b := append([]byte(magic), body...)
	return binary.LittleEndian.AppendUint64(b, xxhash.Sum64(b))
}

func TestDecodeHostile(t *testing.T) {
	v := func(n ...uint64) (b []byte) {
		for _, x := range n {
			b = binary.AppendUvarint(b, x)
		}
		return b
	}
	for name, body := range map[string][]byte{
		"no count":            {},
		"more runs than fit":  v(1<<40, 2, 0),
		"no pages":            v(1, 0, 0),
		"too many pages":      v(1, maxPage<<1+2, 0),
		"sum too large":       v(2, maxPage<<1, 0, 2, 0),
		"page before 0":       v(1, 2, 1),
		"page too large":      v(1, 2, maxPage*2+2),
		"bytes after":         v(1, 2, 0, 0),
		"varint without end":  {1, 2, 0xff},
		"varint too long":     append([]byte{1}, bytes.Repeat([]byte{0xff}, 12)...),
		"fewer runs than say": v(2, 2, 0),
	} {
		if _, err := Decode(sealed(body)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte{1, 2, 0}, uint64(4), uint64(4))
	f.Fuzz(func(t *testing.T, body []byte, parentPages, staged uint64) {
		index, err := Decode(sealed(body))
		if err != nil {
			return
		}
		if again, err := Decode(AppendTo(nil, index)); err != nil || !slices.Equal(again, index) {
			t.Errorf("%v became %v, %v", index, again, err)
		}
		parent := []Run{{Page: 9, Pages: parentPages%100 + 1}}
		resolved, err := Resolve(index, parent, 1000, staged%100, 1000)
		if err == nil && Pages(resolved) != Pages(index) {
			t.Errorf("%v became %v", index, resolved)
		}
	})
}
