package pagepool

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/memfile"
	"runsc-recover/checkpoint/pageindex"
	"runsc-recover/checkpoint/store/diskfs"
	"runsc-recover/checkpoint/store/frame"
	"runsc-recover/test/expect"
)

// testDisk is a directory for pools on disk.
type testDisk struct {
	dir   string
	fs    diskfs.FS
	files atomic.Int64
}

func newTestDisk(t testing.TB) *testDisk { return &testDisk{dir: t.TempDir(), fs: diskfs.Host{}} }

func testCodec(t testing.TB) *frame.Codec {
	t.Helper()
	c, err := frame.NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// open opens the directory's pool, which the caller closes.
func (d *testDisk) open(t testing.TB) *Pool {
	t.Helper()
	p, err := OpenDisk(d.fs, d.dir, d.temp, testCodec(t))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (d *testDisk) temp() string {
	return filepath.Join(d.dir, fmt.Sprint(".new-", d.files.Add(1)))
}

// entries lists the directory.
func (d *testDisk) entries(t *testing.T) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// eachPool runs a test with a pool of each kind.
func eachPool(t *testing.T, test func(t *testing.T, p *Pool)) {
	for name, open := range map[string]func(t *testing.T) *Pool{
		"memory": func(*testing.T) *Pool { return NewMemory() },
		"disk":   func(t *testing.T) *Pool { return newTestDisk(t).open(t) },
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t)
			defer p.Close()
			test(t, p)
		})
	}
}

// contents are pages, one for each number. Odd numbers can't be compressed.
func contents(numbers ...uint64) []byte {
	b := make([]byte, 0, len(numbers)*pageSize)
	for _, n := range numbers {
		random := rand.New(rand.NewPCG(n, 0))
		for range pageSize / 8 {
			if n%2 == 1 {
				n = random.Uint64() | 1
			}
			b = binary.LittleEndian.AppendUint64(b, n)
		}
	}
	return b
}

func ignoreCopied(uint64, uint64) {}

// add adds pages to a pool, which holds them.
func add(t testing.TB, p *Pool, numbers ...uint64) pageindex.Run {
	t.Helper()
	f, err := memfile.New("from")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(contents(numbers...), 0); err != nil {
		t.Fatal(err)
	}
	added, _, err := p.Add(context.Background(), f, uint64(len(numbers)), ignoreCopied)
	if err != nil {
		t.Fatal(err)
	}
	return added
}

func release(t testing.TB, p *Pool, runs ...pageindex.Run) {
	t.Helper()
	if err := p.Release(runs); err != nil {
		t.Errorf("release: %v", err)
	}
}

// expectContents reads and verifies the pages of an index.
func expectContents(t testing.TB, p *Pool, index []pageindex.Run, numbers ...uint64) {
	t.Helper()
	l := p.Lease(index)
	defer l.Release()
	expect.Equal(t, "complete", l.Complete(), true)
	r := l.Pages()
	got, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
	if err != nil || !bytes.Equal(got, contents(numbers...)) {
		t.Errorf("pages %v aren't the ones added: %d bytes, %v", index, len(got), err)
	}
	b, sums := make([]byte, len(numbers)*pageSize), make([]uint64, len(numbers))
	if err := r.ReadPages(b, 0, sums); err != nil || !bytes.Equal(b, got) {
		t.Errorf("read pages: %v", err)
	}
	if err := p.Verify(context.Background(), index); err != nil {
		t.Errorf("verify: %v", err)
	}
}

// pages are the pages of all segments, and the referenced ones of these.
func pages(p *Pool) (all, live int) {
	for _, s := range p.Segments() {
		all, live = all+s.Pages, live+s.Live
	}
	return all, live
}

func TestAddHoldRelease(t *testing.T) {
	eachPool(t, func(t *testing.T, p *Pool) {
		a, b := add(t, p, 1, 2, 3), add(t, p, 4, 5)
		expect.Equal(t, "second run's first address", b.Page, a.End())
		expectContents(t, p, []pageindex.Run{a, b}, 1, 2, 3, 4, 5)
		// An index in another order, with a page twice.
		index := []pageindex.Run{{Page: b.Page, Pages: 1}, {Page: a.Page + 1, Pages: 2}, {Page: b.Page, Pages: 1}}
		p.Hold(index)
		release(t, p, a, b)
		expectContents(t, p, index, 4, 2, 3, 4)
		_, live := pages(p)
		expect.Equal(t, "live pages", live, 3)
		l := p.Lease([]pageindex.Run{a})
		expect.Equal(t, "segment with a hole is complete", l.Complete(), true)
		expect.Equal(t, "error", l.Release(), nil)
		expect.Equal(t, "second release", l.Release(), nil)
		release(t, p, index...)
		expect.Equal(t, "segments", len(p.Segments()), 0)
		expect.Equal(t, "usage", p.Usage(), checkpoint.Usage{})
	})
}

func TestAddNothing(t *testing.T) {
	eachPool(t, func(t *testing.T, p *Pool) {
		none := add(t, p)
		expect.Equal(t, "pages", none.Pages, 0)
		release(t, p, none)
		expect.Equal(t, "segments", len(p.Segments()), 0)
	})
}

// Pages that are missing are neither held nor found, and don't disturb others.
func TestMissingPages(t *testing.T) {
	eachPool(t, func(t *testing.T, p *Pool) {
		a := add(t, p, 1, 2)
		for _, missing := range []pageindex.Run{{Page: a.End(), Pages: 1}, {Page: a.Page, Pages: 3}, {Page: 1 << 50, Pages: 1}} {
			index := []pageindex.Run{missing}
			l := p.Lease(index)
			expect.Equal(t, "complete", l.Complete(), false)
			if err := p.Verify(context.Background(), index); !errors.Is(err, checkpoint.ErrDamaged) {
				t.Errorf("verify: %v", err)
			}
			if err := l.Pages().ReadPages(make([]byte, missing.Pages*pageSize), 0, make([]uint64, missing.Pages)); !errors.Is(err, checkpoint.ErrDamaged) {
				t.Errorf("read: %v", err)
			}
			if err := l.Release(); err != nil {
				t.Errorf("release: %v", err)
			}
		}
		expectContents(t, p, []pageindex.Run{a}, 1, 2)
	})
}

// Add reports each page once, in order, and stops when it is cancelled.
func TestAddReportsAndStops(t *testing.T) {
	eachPool(t, func(t *testing.T, p *Pool) {
		f, err := memfile.New("from")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		const n = segmentPages + chunkPages + 1
		if err := f.Truncate(n * pageSize); err != nil {
			t.Fatal(err)
		}
		next := uint64(0)
		added, stored, err := p.Add(t.Context(), f, n, func(at, pages uint64) {
			if at != next {
				t.Errorf("copied from %d on instead of %d", at, next)
			}
			next = at + pages
		})
		if err != nil || added.Pages != n || next != n || stored <= 0 {
			t.Fatalf("added %+v, %d bytes, %d reported: %v", added, stored, next, err)
		}
		expect.Equal(t, "segments", len(p.Segments()), 2)
		release(t, p, added)
		ctx, cancel := context.WithCancel(t.Context())
		_, _, err = p.Add(ctx, f, n, func(at, _ uint64) {
			if at == segmentPages {
				cancel() // in the second segment
			}
		})
		expect.Equal(t, "cancelled", errors.Is(err, context.Canceled), true)
		_, _, err = p.Add(t.Context(), f, n+1, ignoreCopied)
		expect.Equal(t, "file too short", errors.Is(err, io.EOF), true)
		expect.Equal(t, "segments afterwards", len(p.Segments()), 0)
	})
}

// Damage is found by each way to read, and only in the pages that have it.
func TestDamagedPage(t *testing.T) {
	eachPool(t, func(t *testing.T, p *Pool) {
		numbers := make([]uint64, 3*framePages)
		for i := range numbers {
			numbers[i] = uint64(i)
		}
		a := add(t, p, numbers...)
		damage(t, p, a.Page+framePages)
		one := func(page uint64) []pageindex.Run { return []pageindex.Run{{Page: a.Page + page, Pages: 1}} }
		for page := range uint64(len(numbers)) {
			err := p.Verify(context.Background(), one(page))
			inFrame := page/framePages == 1 && p.codec != nil
			if bad := page == framePages || inFrame; errors.Is(err, checkpoint.ErrDamaged) != bad {
				t.Errorf("verify page %d: %v", page, err)
			}
		}
		l := p.Lease([]pageindex.Run{a})
		defer l.Release()
		err := l.Pages().ReadPages(make([]byte, pageSize), framePages, make([]uint64, 1))
		expect.Equal(t, "damage is found", errors.Is(err, checkpoint.ErrDamaged), true)
		expectContents(t, p, one(0), 0)
	})
}

// damage changes the page at an address where it is stored.
func damage(t *testing.T, p *Pool, address uint64) {
	t.Helper()
	f, at, size, err := p.Stored(address)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, size)
	if _, err := f.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}

func TestCompare(t *testing.T) {
	eachPool(t, func(t *testing.T, p *Pool) {
		a := add(t, p, 1, 2, 3)
		for _, c := range []struct {
			full []byte
			want error
		}{
			{contents(1, 2, 3), nil},
			{contents(1, 2, 4), checkpoint.ErrMissed},
			{contents(1, 2), checkpoint.ErrMissed},
			{contents(1, 2, 3, 4), checkpoint.ErrMissed},
		} {
			f, err := memfile.New("full")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Write(c.full); err != nil {
				t.Fatal(err)
			}
			err = p.Compare(context.Background(), []pageindex.Run{a}, f)
			expect.Equal(t, fmt.Sprint(len(c.full), " bytes"), errors.Is(err, c.want), true)
			f.Close()
		}
	})
}

// A lease outlives the pool's Close, and the last one closes the files.
func TestCloseWaitsForLeases(t *testing.T) {
	eachPool(t, func(t *testing.T, p *Pool) {
		a := add(t, p, 1, 2)
		f := p.segments[0].f
		first, second := p.Lease([]pageindex.Run{a}), p.Lease(nil)
		p.Close()
		p.CompactSoon() // does nothing
		got := make([]byte, 2*pageSize)
		if _, err := first.Pages().ReadAt(got, 0); err != nil || !bytes.Equal(got, contents(1, 2)) {
			t.Errorf("read after close: %v", err)
		}
		if err := errors.Join(first.Release(), second.Release()); err != nil {
			t.Errorf("release: %v", err)
		}
		_, err := f.Stat()
		expect.Equal(t, "closed", errors.Is(err, os.ErrClosed), true)
		late := p.Lease([]pageindex.Run{a})
		expect.Equal(t, "complete", late.Complete(), false)
		expect.Equal(t, "error", late.Release(), nil)
	})
}

// A pool on disk has its pages again when it is opened, and without an index
// that holds them Trim removes them.
func TestReopen(t *testing.T) {
	d := newTestDisk(t)
	p := d.open(t)
	a, b := add(t, p, 1, 2, 3), add(t, p, 4)
	p.Close()
	p = d.open(t)
	p.Hold([]pageindex.Run{{Page: a.Page + 2, Pages: 1}})
	expect.Equal(t, "error", p.Trim(), nil)
	expectContents(t, p, []pageindex.Run{{Page: a.Page + 2, Pages: 1}}, 3)
	if got := d.entries(t); !slices.Equal(got, []string{segmentName(1)}) {
		t.Errorf("the directory has %v", got)
	}
	// Neither addresses nor ids are used again.
	c := add(t, p, 5)
	if c.Page < b.End() {
		t.Errorf("address %d is used again", c.Page)
	}
	p.Close()
	if got := d.entries(t); !slices.Equal(got, []string{segmentName(1), segmentName(3)}) {
		t.Errorf("the directory has %v", got)
	}
}

// Reserved addresses aren't used, though no segment has them.
func TestReserve(t *testing.T) {
	p := NewMemory()
	defer p.Close()
	p.Reserve([]pageindex.Run{{Page: 1000, Pages: 10}, {Page: 3, Pages: 2}})
	expect.Equal(t, "address", add(t, p, 1).Page, 1010)
}

// A segment that can't be read is left out, and its id isn't used again.
func TestDamagedSegmentIsLeftOut(t *testing.T) {
	d := newTestDisk(t)
	p := d.open(t)
	a, b := add(t, p, 1), add(t, p, 2)
	p.Close()
	if err := os.Truncate(filepath.Join(d.dir, segmentName(2)), 100); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"pages-5", "pages-x", "pages-00000000000000000009x"} {
		if err := os.WriteFile(filepath.Join(d.dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p = d.open(t)
	defer p.Close()
	expectContents(t, p, []pageindex.Run{a}, 1)
	l := p.Lease([]pageindex.Run{b})
	defer l.Release()
	expect.Equal(t, "complete", l.Complete(), false)
	add(t, p, 3)
	segments := p.Segments()
	expect.Equal(t, "new segment's id", segments[len(segments)-1].ID, 3)
}

// failingFS fails at one of the steps that change the disk.
type failingFS struct {
	diskfs.Host
	failAt, step int
}

func (f *failingFS) fail() error {
	if f.step++; f.step == f.failAt {
		return unix.EIO
	}
	return nil
}

func (f *failingFS) Create(path string) (*os.File, error) {
	if err := f.fail(); err != nil {
		return nil, err
	}
	return f.Host.Create(path)
}

func (f *failingFS) WriteAt(file *os.File, b []byte, at int64) error {
	if err := f.fail(); err != nil {
		return err
	}
	return f.Host.WriteAt(file, b, at)
}

func (f *failingFS) Sync(file *os.File) error { return errors.Join(f.fail(), f.Host.Sync(file)) }

func (f *failingFS) SyncDir(path string) error { return errors.Join(f.fail(), f.Host.SyncDir(path)) }

func (f *failingFS) Rename(from, to string) error {
	if err := f.fail(); err != nil {
		return err
	}
	return f.Host.Rename(from, to)
}

// Whatever step of adding pages fails, nothing is added, nothing is left, and
// the next pages can be.
func TestAddFailsAtEveryStep(t *testing.T) {
	for failAt := 1; ; failAt++ {
		d := newTestDisk(t)
		fs := &failingFS{}
		d.fs = fs
		p := d.open(t)
		kept := add(t, p, 1, 2)
		f, err := memfile.New("from")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(contents(3, 5, 7), 0); err != nil {
			t.Fatal(err)
		}
		fs.step, fs.failAt = 0, failAt
		_, _, err = p.Add(t.Context(), f, 3, ignoreCopied)
		fs.failAt = 0
		f.Close()
		if err == nil {
			p.Close()
			if failAt < 5 {
				t.Errorf("adding pages has only %d steps", failAt-1)
			}
			return
		}
		expect.Equal(t, "error", errors.Is(err, unix.EIO), true)
		if got := d.entries(t); !slices.Equal(got, []string{segmentName(1)}) {
			t.Errorf("step %d: the directory has %v", failAt, got)
		}
		expectContents(t, p, []pageindex.Run{kept, add(t, p, 9)}, 1, 2, 9)
		p.Close()
	}
}

// TestConcurrentUse is for the race detector: pages are added, read, verified,
// released and moved at once, and the pool is closed on the way.
func TestConcurrentUse(t *testing.T) {
	eachPool(t, func(t *testing.T, p *Pool) {
		base := add(t, p, 1, 2, 3, 4, 5, 6, 7, 8)
		lease := p.Lease([]pageindex.Run{base})
		var wg sync.WaitGroup
		for i := range uint64(3) {
			wg.Go(func() {
				for n := range uint64(20) {
					added := add(t, p, n, i)
					index := []pageindex.Run{added, {Page: base.Page + i, Pages: 2}}
					p.Hold(index)
					release(t, p, added)
					expectContents(t, p, index, n, i, i+1, i+2)
					release(t, p, index...)
					p.CompactSoon()
					p.Usage()
				}
			})
		}
		wg.Go(func() {
			for range 20 {
				if err := p.Compact(t.Context()); err != nil {
					t.Errorf("compact: %v", err)
				}
			}
		})
		wg.Wait()
		p.Close()
		if err := lease.Release(); err != nil {
			t.Errorf("release: %v", err)
		}
	})
}
