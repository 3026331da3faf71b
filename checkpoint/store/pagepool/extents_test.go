package pagepool

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/pageindex"
	"runsc-recover/test/expect"
)

func TestMissingAddresses(t *testing.T) {
	table := extentTable{{address: 10, pages: 5}, {address: 15, pages: 5}, {address: 30, pages: 1}}
	for _, c := range []struct {
		r    pageindex.Run
		want []extent
	}{
		{pageindex.Run{Page: 10, Pages: 10}, nil},
		{pageindex.Run{Page: 12, Pages: 4}, nil},
		{pageindex.Run{Page: 0, Pages: 5}, []extent{{address: 0, pages: 5}}},
		{pageindex.Run{Page: 5, Pages: 10}, []extent{{address: 5, pages: 5}}},
		{pageindex.Run{Page: 19, Pages: 2}, []extent{{address: 20, pages: 1}}},
		{pageindex.Run{Page: 0, Pages: 40}, []extent{{address: 0, pages: 10}, {address: 20, pages: 10}, {address: 31, pages: 9}}},
		{pageindex.Run{Page: 31, Pages: 9}, []extent{{address: 31, pages: 9}}},
		{pageindex.Run{Page: 25, Pages: 0}, nil},
	} {
		if got := table.missing(c.r); !slices.Equal(got, c.want) {
			t.Errorf("missing of %+v: %+v, want %+v", c.r, got, c.want)
		}
	}
}

// The table finds each page where the first segment that had it has it.
func TestExtentsArePageByPage(t *testing.T) {
	type place struct {
		seg *segment
		at  uint64
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var table extentTable
		want := make(map[uint64]place)
		segments := []*segment{{id: 1}, {id: 2}, {id: 3}, {id: 4}}
		for _, s := range segments {
			at := uint64(0)
			var addresses []pageindex.Run
			for range random.IntN(4) {
				r := pageindex.Run{Page: end(addresses) + random.Uint64N(10), Pages: 1 + random.Uint64N(10)}
				addresses = append(addresses, r)
				for i := range r.Pages {
					if _, known := want[r.Page+i]; !known {
						want[r.Page+i] = place{s, at + i}
					}
				}
				at += r.Pages
			}
			table.add(s, addresses)
		}
		removed := segments[random.IntN(len(segments))]
		removed.removed = true
		table.dropRemoved()
		for address := range uint64(80) {
			var got place
			err := table.each(pageindex.Run{Page: address, Pages: 1}, func(e extent) error {
				got = place{e.seg, e.at}
				return nil
			})
			w, there := want[address]
			if there = there && w.seg != removed; there != (err == nil) || there && got != w {
				t.Fatalf("page %d is at %v, want %v (%v): %v", address, got, w, there, err)
			}
		}
	}
}

// A run of addresses is visited in pieces, in order, as far as it is there.
func TestEachExtent(t *testing.T) {
	a, b := &segment{id: 1}, &segment{id: 2}
	var table extentTable
	table.add(b, []pageindex.Run{{Page: 14, Pages: 2}})
	table.add(a, []pageindex.Run{{Page: 10, Pages: 4}, {Page: 20, Pages: 1}})
	var got []extent
	err := table.each(pageindex.Run{Page: 12, Pages: 9}, func(e extent) error {
		got = append(got, e)
		return nil
	})
	expect.Equal(t, "damaged", errors.Is(err, checkpoint.ErrDamaged), true)
	if want := []extent{{12, 2, a, 2}, {14, 2, b, 0}}; !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	stop := errors.New("stop")
	calls := 0
	err = table.each(pageindex.Run{Page: 10, Pages: 6}, func(extent) error { calls++; return stop })
	expect.Equal(t, "error", err, stop)
	expect.Equal(t, "calls", calls, 1)
}
