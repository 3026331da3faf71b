package store

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/memfile"
	"runsc-recover/checkpoint/pageindex"
	"runsc-recover/test/expect"
)

func newTestMemory(t *testing.T) *Memory {
	s := NewMemory(testOptions)
	t.Cleanup(func() { s.Close() })
	return s
}

// openFDs is how many descriptors the process has open.
func openFDs(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// Close closes all files, those of checkpoints, of pages and of spare memory,
// the pages of an open image at the image's own Close.
func TestMemoryClosesItsFiles(t *testing.T) {
	before := openFDs(t)
	s := NewMemory(testOptions)
	for seq := checkpoint.Seq(1); seq <= 3; seq++ {
		if err := write(s, seq); err != nil {
			t.Fatal(err)
		}
	}
	img, err := s.Open(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	b := make([]byte, pageindex.PageSize)
	if err := img.Pages().ReadPages(b, 0, make([]uint64, 1)); err != nil || b[0] != 2 {
		t.Errorf("read an image of a closed store: %d, %v", b[0], err)
	}
	if err := img.Close(); err != nil {
		t.Errorf("close an image: %v", err)
	}
	expect.Equal(t, "second close of an image", img.Close(), nil)
	expect.Equal(t, "open files", openFDs(t), before)
}

// A removed checkpoint gives its memory back, but for pages that others list.
func TestMemoryRemove(t *testing.T) {
	s := newTestMemory(t)
	for seq := checkpoint.Seq(1); seq <= 2; seq++ {
		if err := write(s, seq); err != nil {
			t.Fatal(err)
		}
	}
	files := openFDs(t)
	if err := s.Remove(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "open files", openFDs(t), files-3)
	expect.Equal(t, "pages", room(s.pool), 3)
	if err := s.Remove(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "pages", room(s.pool), 0)
	u, err := s.Usage(t.Context())
	expect.Equal(t, "error", err, nil)
	expect.Equal(t, "usage", u, checkpoint.Usage{})
}

// stagedInode identifies the memory that pages are staged in.
func stagedInode(t *testing.T, st checkpoint.Staging) uint64 {
	t.Helper()
	return inode(st.File(checkpoint.FileStaged))
}

func stageTest(t *testing.T, s checkpoint.Store, parent checkpoint.Seq) checkpoint.Staging {
	t.Helper()
	st, err := s.Stage(t.Context(), parent)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Discard() })
	return st
}

// Memory with which the sandbox is done serves the next staging; memory to which
// it may still write doesn't.
func TestSpareMemory(t *testing.T) {
	s := newTestMemory(t)
	discarded := stageTest(t, s, 0)
	first := stagedInode(t, discarded)
	if err := discarded.Discard(); err != nil {
		t.Error(err)
	}
	refused := stageTest(t, s, 0)
	second := stagedInode(t, refused)
	if second == first {
		t.Error("memory of a staging that was given up is used again")
	}
	if _, err := refused.Publish(t.Context(), testManifest(1)); !errors.Is(err, checkpoint.ErrDamaged) {
		t.Errorf("publish without an index: %v", err)
	}
	refused.Discard()
	third, other := stageTest(t, s, 0), stageTest(t, s, 0)
	expect.Equal(t, "memory after a refusal", stagedInode(t, third), second)
	if stagedInode(t, other) == second {
		t.Error("two stagings have the same memory")
	}
	third.Discard()
	other.Discard()
	if err := write(s, 1); err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "kept", s.spare.staged != nil, true)
	expect.Equal(t, "compact", s.Compact(t.Context()), nil)
	expect.Equal(t, "kept after compaction", s.spare.staged != nil, false)
}

// Spare memory is cut to the likely need of the next checkpoint.
func TestSpareMemoryIsCut(t *testing.T) {
	const mib = 1 << 20
	for name, c := range map[string]struct {
		whole                bool
		size, changed, spare int64
	}{
		"little":             {false, mib, mib, mib},
		"after a whole":      {true, 100 * mib, 100 * mib, keptStaging},
		"after few changes":  {false, 100 * mib, mib, keptStaging + 2*mib},
		"after many changes": {false, 100 * mib, 60 * mib, 100 * mib},
	} {
		x, err := newStagingFiles(new(spareMemory), false, c.whole)
		if err != nil {
			t.Fatal(err)
		}
		if err := x.staged.Truncate(c.size); err != nil {
			t.Fatal(err)
		}
		spare := x.takeSpare(c.changed)
		stat, err := spare.staged.Stat()
		expect.Equal(t, "error", err, nil)
		expect.Equal(t, name, stat.Size(), c.spare)
		expect.Equal(t, "close", x.close(), nil)
		spare.discard()
	}
}

// Staging memory that the sandbox has sealed isn't used again.
func TestSealedSpareMemory(t *testing.T) {
	x, err := newStagingFiles(new(spareMemory), false, true)
	if err != nil {
		t.Fatal(err)
	}
	defer x.close()
	if err := x.staged.Truncate(2 * keptStaging); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.FcntlInt(x.staged.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK); err != nil {
		t.Fatal(err)
	}
	spare := x.takeSpare(0)
	expect.Equal(t, "kept", spare.staged != nil, false)
}

// A whole checkpoint's pages are given back as they are copied, beyond those
// that are kept.
func TestCopiedStagingIsGivenBack(t *testing.T) {
	for whole, kept := range map[bool]bool{true: false, false: true} {
		x, err := newStagingFiles(new(spareMemory), false, whole)
		if err != nil {
			t.Fatal(err)
		}
		page := bytes.Repeat([]byte{1}, pageindex.PageSize)
		for _, at := range []int64{0, keptStaging} {
			if _, err := x.staged.WriteAt(page, at); err != nil {
				t.Fatal(err)
			}
			x.copied(uint64(at)/pageindex.PageSize, 1)
		}
		got := make([]byte, 1)
		x.staged.ReadAt(got, 0)
		expect.Equal(t, "first page", got[0], 1)
		x.staged.ReadAt(got, keptStaging)
		expect.Equal(t, "page beyond", got[0] == 1, kept)
		x.close()
	}
}

// An index from a file is bounded and validated.
func TestReadIndex(t *testing.T) {
	for name, c := range map[string]struct {
		contents []byte
		size     int64
		want     error
	}{
		"sound":     {pageindex.AppendTo(nil, []pageindex.Run{{Page: 1, Pages: 2}}), 0, nil},
		"empty":     {nil, 0, checkpoint.ErrDamaged},
		"rubbish":   {[]byte("rubbish that is long enough"), 0, checkpoint.ErrDamaged},
		"too large": {nil, maxIndex + 1, checkpoint.ErrDamaged},
		"sparse":    {nil, maxIndex, checkpoint.ErrDamaged},
	} {
		f, err := memfile.New("index")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(c.contents); err != nil {
			t.Fatal(err)
		}
		if c.size > 0 {
			if err := f.Truncate(c.size); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := readIndex(f); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		f.Close()
	}
}

// Each call of a cancelled caller leaves the store as it was.
func TestMemoryCancelled(t *testing.T) {
	s := newTestMemory(t)
	if err := write(s, 1); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range map[string]func() error{
		"stage":  func() error { _, err := s.Stage(ctx, 1); return err },
		"open":   func() error { _, err := s.Open(ctx, 1); return err },
		"verify": func() error { return s.Verify(ctx, 1) },
	} {
		if err := call(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
	expect.Equal(t, "verify", s.Verify(t.Context(), 1), nil)
}
