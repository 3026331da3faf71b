package dirtytrack

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"runsc-recover/checkpoint/memfile"
)

func openTestWatcher(t *testing.T) *watcher {
	t.Helper()
	w, err := openWatcher()
	if errors.Is(err, errUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	return w
}

func mapMemfd(t *testing.T, fd int, pages uint64, prot int) []byte {
	t.Helper()
	m, err := unix.Mmap(fd, 0, int(pages*pageSize), prot, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(m) })
	return m
}

func newMemfd(t *testing.T, pages uint64) int {
	t.Helper()
	f, err := memfile.New("test")
	if err == nil {
		err = f.Truncate(int64(pages * pageSize))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return int(f.Fd())
}

func collect(t *testing.T, scan func([]byte, func(page, pages uint64)) error, m []byte) []uint64 {
	t.Helper()
	var out []uint64
	err := scan(m, func(page, pages uint64) {
		for i := range pages {
			out = append(out, page+i)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestWritten writes random pages, more runs of them than a scan returns at
// once, by stores and by system calls.
func TestWritten(t *testing.T) {
	const pages = 12000
	w := openTestWatcher(t)
	fd := newMemfd(t, pages)
	m := mapMemfd(t, fd, pages, unix.PROT_READ|unix.PROT_WRITE)
	if err := w.register(m); err != nil {
		t.Fatal(err)
	}
	other := newMemfd(t, 1)
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 5 {
		var want []uint64
		for p := range uint64(pages) {
			switch random.IntN(6) {
			case 0:
				m[p*pageSize+random.Uint64N(pageSize)]++
			case 1:
				if _, err := unix.Pread(other, m[p*pageSize:p*pageSize+10], 0); err != nil {
					t.Fatal(err)
				}
			default:
				if round > 0 { // the first read of a page counts as a write
					_ = m[p*pageSize]
				}
				continue
			}
			want = append(want, p)
		}
		got := collect(t, w.written, m)
		if round < 2 { // by then all pages have been touched
			continue
		}
		if !slices.Equal(got, want) {
			t.Fatalf("round %d: %d pages written, %d reported", round, len(want), len(got))
		}
	}
}

// TestAbsent: a hole made in the file, and filled again through another
// mapping, shows in one that wasn't touched since.
func TestAbsent(t *testing.T) {
	w := openTestWatcher(t)
	fd := newMemfd(t, 64)
	m := mapMemfd(t, fd, 64, unix.PROT_READ|unix.PROT_WRITE)
	if err := w.register(m); err != nil {
		t.Fatal(err)
	}
	view := mapMemfd(t, fd, 64, unix.PROT_READ)
	for p := range 64 {
		m[p*pageSize] = 1
		_ = view[p*pageSize] + view[p*pageSize+1]
		if view[p*pageSize] != 1 {
			t.Fatal("the view shows something else")
		}
	}
	collect(t, w.written, m)
	if got := collect(t, w.absent, view); len(got) != 0 {
		t.Fatalf("%v are absent", got)
	}
	if err := unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 3*pageSize, 2*pageSize); err != nil {
		t.Fatal(err)
	}
	if m[3*pageSize] != 0 || m[4*pageSize] != 0 {
		t.Fatal("the hole isn't one")
	}
	if got := collect(t, w.absent, view); !slices.Equal(got, []uint64{3, 4}) {
		t.Errorf("%v are absent, want 3 and 4", got)
	}
}
