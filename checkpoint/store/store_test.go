package store

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/pageindex"
	"runsc-recover/checkpoint/store/pagepool"
	"runsc-recover/checkpoint/storetest"
)

func options(id storetest.Identity) Options {
	return Options{GVisorVersion: id.GVisorVersion, Arch: id.Arch, ContainerID: id.ContainerID, MaxBytes: id.MaxBytes, Limit: id.Limit, Compare: id.Compare}
}

func TestMemory(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		New: func(t *testing.T, id storetest.Identity) checkpoint.Store {
			s := NewMemory(options(id))
			t.Cleanup(func() { s.Close() })
			return s
		},
		Damage: func(t *testing.T, s checkpoint.Store, seq checkpoint.Seq, name checkpoint.FileName, change func([]byte) []byte) {
			held := s.(*Memory).published[seq]
			damage(t, held.files.get(name), change)
		},
		DamagePage: func(t *testing.T, s checkpoint.Store, seq checkpoint.Seq, page uint64, change func([]byte)) {
			damagePage(t, s.(*Memory).pool, s.(*Memory).indexes[seq], page, change)
		},
		Room: func(s checkpoint.Store) int { return room(s.(*Memory).pool) },
	})
}

func TestDisk(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		New: func(t *testing.T, id storetest.Identity) checkpoint.Store {
			return openTest(t, filepath.Join(t.TempDir(), "store"), options(id))
		},
		Reopen: func(t *testing.T, s checkpoint.Store, id storetest.Identity) checkpoint.Store {
			s.Close()
			return openTest(t, s.(*Disk).dir, options(id))
		},
		Damage: func(t *testing.T, s checkpoint.Store, seq checkpoint.Seq, name checkpoint.FileName, change func([]byte) []byte) {
			f, err := os.OpenFile(s.(*Disk).path(dirName(seq), string(name)), os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			damage(t, f, change)
		},
		DamagePage: func(t *testing.T, s checkpoint.Store, seq checkpoint.Seq, page uint64, change func([]byte)) {
			damagePage(t, s.(*Disk).pool, s.(*Disk).indexes[seq], page, change)
		},
		Room: func(s checkpoint.Store) int {
			if err := s.Compact(context.Background()); err != nil {
				panic(err)
			}
			pages := 0
			for _, seg := range s.(*Disk).pool.Segments() {
				pages += seg.Pages
			}
			return pages
		},
	})
}

func openTest(t *testing.T, dir string, opts Options) *Disk {
	t.Helper()
	s, err := OpenDisk(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// damagePage changes the stored bytes of a page, or of its frame.
func damagePage(t *testing.T, p *pagepool.Pool, index []pageindex.Run, page uint64, change func([]byte)) {
	t.Helper()
	pageindex.NewReader(index).Each(page, 1, func(r pageindex.Run) {
		f, at, size, err := p.Stored(r.Page)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, size)
		if _, err := f.ReadAt(b, at); err != nil {
			t.Fatal(err)
		}
		change(b)
		if _, err := f.WriteAt(b, at); err != nil {
			t.Fatal(err)
		}
	})
}

// room is the number of pages that segments take, by their file system's account.
func room(p *pagepool.Pool) int {
	pages := 0
	for _, s := range p.Segments() {
		pages += int(s.Taken / pageindex.PageSize)
	}
	return pages
}

func damage(t *testing.T, f *os.File, change func([]byte) []byte) {
	t.Helper()
	stat, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, stat.Size())
	if _, err := f.ReadAt(data, 0); err != nil {
		t.Fatal(err)
	}
	data = change(data)
	if err := f.Truncate(int64(len(data))); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(data, 0); err != nil {
		t.Fatal(err)
	}
}
