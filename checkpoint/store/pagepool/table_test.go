package pagepool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cespare/xxhash/v2"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/memfile"
	"runsc-recover/checkpoint/pageindex"
	"runsc-recover/checkpoint/pageset"
	"runsc-recover/test/expect"
)

// testSegment writes a segment of pages to a directory of its own and returns
// its file's bytes.
func testSegment(t testing.TB, numbers ...uint64) []byte {
	t.Helper()
	d := newTestDisk(t)
	p := d.open(t)
	defer p.Close()
	add(t, p, numbers...)
	b, err := os.ReadFile(filepath.Join(d.dir, segmentName(1)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// parseSegment reads the table of a segment whose file has the contents b. The
// caller closes the file, unless there is an error.
func parseSegment(t testing.TB, b []byte) (*segment, []pageindex.Run, error) {
	t.Helper()
	f, err := memfile.New("segment")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	s := &segment{f: f, id: 1, frames: &frames{}}
	addresses, err := readTable(s)
	if err != nil {
		f.Close()
	}
	return s, addresses, err
}

func TestTableRoundTrip(t *testing.T) {
	for _, pages := range []int{1, framePages, framePages + 1, 40} {
		numbers := make([]uint64, pages)
		for i := range numbers {
			numbers[i] = uint64(i)
		}
		s, addresses, err := parseSegment(t, testSegment(t, numbers...))
		if err != nil {
			t.Fatal(err)
		}
		s.f.Close()
		expect.Equal(t, "hashes", len(s.sums), pages)
		expect.Equal(t, "frames", len(s.frames.ends), (pages+framePages-1)/framePages)
		want := []pageindex.Run{{Page: 0, Pages: uint64(pages)}}
		if !slices.Equal(addresses, want) {
			t.Errorf("addresses are %v, want %v", addresses, want)
		}
		for i, n := range numbers {
			expect.Equal(t, "hash", s.sums[i], xxhash.Sum64(contents(n)))
		}
	}
}

// A change of any byte of the table, and any other length of the file, is found.
func TestTableDamagedInAnyByte(t *testing.T) {
	whole := testSegment(t, 0, 2, 4)
	table := 3*8 + 4 + len(pageindex.AppendTo(nil, []pageindex.Run{{Page: 0, Pages: 3}})) + footerSize
	check := func(name string, b []byte) {
		t.Helper()
		_, _, err := parseSegment(t, b)
		if !errors.Is(err, checkpoint.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := len(whole) - table; i < len(whole); i++ {
		b := bytes.Clone(whole)
		b[i] ^= 0x41
		check("a byte changed", b)
	}
	for n := range len(whole) {
		check("cut off", whole[:n])
	}
	check("a byte inserted", append([]byte{0}, whole...))
	check("a byte appended", append(bytes.Clone(whole), 0))
}

// sealTable makes a segment's file of frames and a table's parts, with the right
// hash.
func sealTable(frames []byte, hashes []uint64, sizes []uint32, index []byte, magic string, indexSize, pages uint64) []byte {
	var b []byte
	for _, h := range hashes {
		b = binary.LittleEndian.AppendUint64(b, h)
	}
	for _, s := range sizes {
		b = binary.LittleEndian.AppendUint32(b, s)
	}
	b = append(append(b, index...), magic...)
	b = binary.LittleEndian.AppendUint64(b, indexSize)
	b = binary.LittleEndian.AppendUint64(b, pages)
	return append(bytes.Clone(frames), binary.LittleEndian.AppendUint64(b, xxhash.Sum64(b))...)
}

// Tables that somebody wrote on purpose are refused, though their hash is right.
func TestHostileTable(t *testing.T) {
	index := func(runs ...pageindex.Run) []byte { return pageindex.AppendTo(nil, runs) }
	one := index(pageindex.Run{Page: 7, Pages: 1})
	frames := make([]byte, 50)
	hash, size := []uint64{1}, []uint32{50}
	seal := func(frames []byte, hashes []uint64, sizes []uint32, index []byte) []byte {
		return sealTable(frames, hashes, sizes, index, segmentMagic, uint64(len(index)), uint64(len(hashes)))
	}
	s, addresses, err := parseSegment(t, seal(frames, hash, size, one))
	s.f.Close()
	if err != nil || len(addresses) != 1 {
		t.Fatalf("a sound table: %v, %v", addresses, err)
	}
	for name, b := range map[string][]byte{
		"nothing":                   nil,
		"a footer of zeros":         make([]byte, footerSize),
		"another magic":             sealTable(frames, hash, size, one, "rrpages\x01", uint64(len(one)), 1),
		"no pages":                  sealTable(frames, nil, nil, index(), segmentMagic, uint64(len(index())), 0),
		"too many pages":            sealTable(frames, hash, size, one, segmentMagic, uint64(len(one)), segmentPages+1),
		"more pages than there are": sealTable(frames, hash, size, one, segmentMagic, uint64(len(one)), 1<<40),
		"pages that overflow":       sealTable(frames, hash, size, one, segmentMagic, uint64(len(one)), 1<<63+1),
		"too many addresses":        sealTable(frames, hash, size, one, segmentMagic, maxAddresses+1, 1),
		"addresses that overflow":   sealTable(frames, hash, size, one, segmentMagic, ^uint64(0)-100, 1),
		"an empty frame":            seal(nil, hash, []uint32{0}, one),
		"a frame too large":         seal(make([]byte, pageSize+1), hash, []uint32{pageSize + 1}, one),
		"a frame far too large":     seal(frames, hash, []uint32{^uint32(0)}, one),
		"frames beyond the table":   seal(frames, hash, []uint32{51}, one),
		"frames short of the table": seal(frames, hash, []uint32{49}, one),
		"fewer addresses":           seal(frames, []uint64{1, 2}, size, one),
		"more addresses":            seal(frames, hash, size, index(pageindex.Run{Page: 7, Pages: 2})),
		"no index":                  seal(frames, hash, size, []byte("rubbish that is long enough")),
	} {
		_, _, err := parseSegment(t, b)
		if !errors.Is(err, checkpoint.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Addresses that a segment has twice, or that another has, take nothing from
// the other one's pages.
func TestHostileAddresses(t *testing.T) {
	d := newTestDisk(t)
	p := d.open(t)
	a := add(t, p, 1, 2)
	p.Close()
	hostile := sealTable(make([]byte, 50), []uint64{1, 1, 1, 1}, []uint32{50},
		pageindex.AppendTo(nil, []pageindex.Run{{Page: 5, Pages: 2}, {Page: 5, Pages: 1}, {Page: 1 << 50, Pages: 1}}),
		segmentMagic, uint64(len(pageindex.AppendTo(nil, []pageindex.Run{{Page: 5, Pages: 2}, {Page: 5, Pages: 1}, {Page: 1 << 50, Pages: 1}}))), 4)
	if err := os.WriteFile(filepath.Join(d.dir, segmentName(9)), hostile, 0o600); err != nil {
		t.Fatal(err)
	}
	p = d.open(t)
	defer p.Close()
	index := []pageindex.Run{a, {Page: 5, Pages: 2}, {Page: 1 << 50, Pages: 1}}
	p.Hold(index)
	if err := p.Trim(); err != nil {
		t.Errorf("trim: %v", err)
	}
	if err := p.Verify(t.Context(), index); !errors.Is(err, checkpoint.ErrDamaged) {
		t.Errorf("verify: %v", err)
	}
	expectContents(t, p, []pageindex.Run{a}, 1, 2)
	expect.Equal(t, "next address", add(t, p, 3).Page, 1<<50+1)
}

// fuzzSegment reads a segment's file that may hold anything, as a pool does.
func fuzzSegment(t *testing.T, b []byte) {
	s, addresses, err := parseSegment(t, b)
	if err != nil {
		return
	}
	defer s.f.Close()
	if n := pageindex.Pages(addresses); n != uint64(len(s.sums)) || n > segmentPages {
		t.Errorf("%d pages at %d addresses", len(s.sums), n)
	}
	p := NewMemory()
	defer p.Close()
	s.refs = make([]uint32, len(s.sums))
	s.frames.codec, s.frames.cache = testCodec(t), &p.cache
	var all pageset.Set
	all.Add(0, uint64(len(s.sums)))
	_ = s.verify(t.Context(), &all, make([]byte, chunkPages*pageSize))
	p.adopt(s, addresses)
	p.Hold(addresses)
	r := newPageReader(p, addresses)
	_, _ = r.ReadAt(make([]byte, 3*pageSize), r.Size()/2)
	_ = p.Trim()
}

// FuzzSegment: whatever the file of a segment holds, reading it is bounded, and
// the segment is consistent.
func FuzzSegment(f *testing.F) {
	f.Add(testSegment(f, 0, 2, 4))
	f.Fuzz(fuzzSegment)
}

// FuzzSealedTable is FuzzSegment behind a hash that is right.
func FuzzSealedTable(f *testing.F) {
	index := pageindex.AppendTo(nil, []pageindex.Run{{Page: 7, Pages: 1}})
	f.Add(make([]byte, 50), uint64(1), uint32(50), index, uint64(len(index)), uint64(1))
	f.Fuzz(func(t *testing.T, frames []byte, hash uint64, size uint32, index []byte, indexSize, pages uint64) {
		n := min(pages, 100)
		hashes := slices.Repeat([]uint64{hash}, int(n))
		sizes := slices.Repeat([]uint32{size}, int(n+framePages-1)/framePages)
		fuzzSegment(t, sealTable(frames, hashes, sizes, index, segmentMagic, indexSize, pages))
	})
}
