package schedule

import (
	"slices"
	"testing"
	"time"

	"runsc-recover/checkpoint"
)

func TestRelief(t *testing.T) {
	const mib = 1 << 20
	for _, tc := range []struct {
		name  string
		in    Pressure
		need  uint64
		again time.Duration
	}{
		{"no limit", Pressure{Used: 900 * mib}, 0, time.Second},
		{"far from it", Pressure{Limit: 16 << 30, Used: 200 * mib}, 0, time.Second},
		{"half way", Pressure{Limit: 512 * mib, Used: 224 * mib}, 0, 62500 * time.Microsecond},
		{"close and quiet", Pressure{Limit: 512 * mib, Used: 470 * mib, Before: 470 * mib, Elapsed: time.Second}, 0, minLook},
		{"close and shrinking", Pressure{Limit: 512 * mib, Used: 470 * mib, Before: 500 * mib, Elapsed: time.Second}, 0, minLook},
		{"in the margin", Pressure{Limit: 512 * mib, Used: 490 * mib}, 10 * mib, minLook},
		{"beyond the limit", Pressure{Limit: 512 * mib, Used: 600 * mib}, 120 * mib, minLook},
		{"fast", Pressure{Limit: 512 * mib, Used: 400 * mib, Before: 390 * mib, Elapsed: 10 * time.Millisecond}, 70 * mib, minLook},
		{"slow", Pressure{Limit: 512 * mib, Used: 400 * mib, Before: 390 * mib, Elapsed: time.Second}, 0, 19531250},
	} {
		if need, again := tc.in.Relief(); need != tc.need || again != tc.again {
			t.Errorf("%s: %d MiB, again in %v; want %d MiB, %v", tc.name, need/mib, again, tc.need/mib, tc.again)
		}
	}
}

func TestGiveBack(t *testing.T) {
	manifest := func(seq checkpoint.Seq, bytes, changed int64) checkpoint.Manifest {
		return checkpoint.Manifest{Seq: seq, Pages: checkpoint.Pages{Bytes: bytes, Changed: changed}}
	}
	all := []checkpoint.Manifest{manifest(1, 100, 100), manifest(2, 100, 10), manifest(3, 110, 30), manifest(5, 110, 20)}
	for _, tc := range []struct {
		name   string
		need   uint64
		pinned []checkpoint.Seq
		want   []checkpoint.Seq
	}{
		{"nothing", 0, nil, nil},
		{"a little", 5, nil, []checkpoint.Seq{1}},
		{"pages that the next replaced", 11, nil, []checkpoint.Seq{1, 2}},
		{"all but the newest", 60, nil, []checkpoint.Seq{1, 2, 3}},
		{"all", 61, nil, []checkpoint.Seq{1, 2, 3, 5}},
		{"pinned", 61, []checkpoint.Seq{2, 5}, []checkpoint.Seq{1, 3}},
	} {
		pinned := make(map[checkpoint.Seq]bool)
		for _, seq := range tc.pinned {
			pinned[seq] = true
		}
		if got := GiveBack(tc.need, all, pinned); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}
