package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/pageindex"
	"runsc-recover/checkpoint/store/diskfs"
)

var errFault = errors.New("injected fault")

// faultFS is the host's file system with a fault at one step, counted over the
// calls that change something. After a crash every step fails.
type faultFS struct {
	diskfs.Host
	at      int // the step that fails; 0: none
	crash   bool
	err     error
	step    int
	hit     bool
	created map[uint64]bool // inodes of files not synced since they were made
	entries map[uint64]bool // inodes of files whose directory wasn't synced since
	renames [][2]string     // since the store's directory was synced
	removed [][2]string     // files, since then: their former names and their present ones
	trash   string
}

func (f *faultFS) fault() error {
	f.step++
	if f.at == 0 || f.step < f.at || f.step > f.at && !f.crash {
		return nil
	}
	f.hit = true
	return f.err
}

func (f *faultFS) Mkdir(path string) error {
	if err := f.fault(); err != nil {
		return err
	}
	return f.Host.Mkdir(path)
}

func (f *faultFS) Create(path string) (*os.File, error) {
	if err := f.fault(); err != nil {
		return nil, err
	}
	file, err := f.Host.Create(path)
	if err == nil {
		f.created[inode(file)], f.entries[inode(file)] = true, true
	}
	return file, err
}

func (f *faultFS) WriteAt(file *os.File, data []byte, at int64) error {
	if err := f.fault(); err != nil {
		f.Host.WriteAt(file, data[:len(data)/2], at)
		return err
	}
	return f.Host.WriteAt(file, data, at)
}

func (f *faultFS) Sync(file *os.File) error {
	if err := f.fault(); err != nil {
		return err
	}
	delete(f.created, inode(file))
	return nil
}

func (f *faultFS) SyncDir(path string) error {
	if err := f.fault(); err != nil {
		return err
	}
	f.renames, f.removed = nil, nil
	entries, err := os.ReadDir(path)
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			delete(f.entries, info.Sys().(*syscall.Stat_t).Ino)
		}
	}
	return err
}

func (f *faultFS) Rename(from, to string) error {
	if err := f.fault(); err != nil {
		return err
	}
	err := f.Host.Rename(from, to)
	if err == nil {
		f.renames = append(f.renames, [2]string{from, to})
	}
	return err
}

func (f *faultFS) RemoveAll(path string) error {
	if err := f.fault(); err != nil {
		os.Remove(filepath.Join(path, string(checkpoint.FileKernel))) // begun
		return err
	}
	kept := filepath.Join(f.trash, fmt.Sprint(f.step))
	if err := os.Link(path, kept); err == nil {
		f.removed = append(f.removed, [2]string{path, kept})
	}
	return f.Host.RemoveAll(path)
}

func inode(file *os.File) uint64 {
	info, err := file.Stat()
	if err != nil {
		panic(err)
	}
	return info.Sys().(*syscall.Stat_t).Ino
}

// losePower takes from dir all that wasn't synced: contents, and, if the kernel
// wrote files in another order than directories, names.
func (f *faultFS) losePower(t *testing.T, dir string, loseNames bool) {
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		ino := info.Sys().(*syscall.Stat_t).Ino
		if loseNames && f.entries[ino] {
			return os.Remove(path)
		}
		if f.created[ino] {
			return os.Truncate(path, info.Size()/2)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := len(f.renames) - 1; loseNames && i >= 0; i-- {
		// A rename that can't be undone was overtaken by a removal.
		os.Rename(f.renames[i][1], f.renames[i][0])
	}
	for _, r := range f.removed {
		if loseNames {
			os.Link(r[1], r[0]) // unless it is there
		}
	}
}

// story publishes 2, removes 1 and compacts the pages in a store that holds 1,
// and says how far it got.
type story struct{ published, removing, removed, compacted bool }

func (st *story) run(s *Disk) {
	if write(s, 2) != nil {
		return
	}
	st.published, st.removing = true, true
	st.removed = s.Remove(context.Background(), 1) == nil
	st.compacted = s.Compact(context.Background()) == nil
}

// tell runs the story on a new store with a fault.
func tell(t *testing.T, f *faultFS) (*Disk, story) {
	t.Helper()
	f.created, f.entries, f.trash = make(map[uint64]bool), make(map[uint64]bool), t.TempDir()
	s, err := openDisk(f, t.TempDir(), testOptions)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	at := f.at
	f.at = 0
	if err := write(s, 1); err != nil {
		t.Fatal(err)
	}
	f.at, f.step = at, 0
	var st story
	st.run(s)
	f.at = 0
	return s, st
}

func TestDiskCrashAtEveryStep(t *testing.T) {
	for _, loseNames := range []bool{false, true} {
		step := 1
		for ; ; step++ {
			f := &faultFS{at: step, crash: true, err: errFault}
			s, st := tell(t, f)
			if !f.hit {
				break
			}
			t.Run(fmt.Sprintf("step %d, names lost %v", step, loseNames), func(t *testing.T) {
				s.Close()
				f.losePower(t, s.dir, loseNames)
				expectSound(t, openTest(t, s.dir, testOptions), st)
			})
		}
		if step < 35 {
			t.Errorf("the story has only %d steps", step)
		}
	}
}

// expectSound checks a store after a crash: whole checkpoints only, those that
// must be there are, no leftovers, and it can be written.
func expectSound(t *testing.T, s *Disk, st story) {
	t.Helper()
	good, bad, err := s.List(context.Background())
	if err != nil || len(bad) > 0 {
		t.Fatalf("list: bad %v, error %v", bad, err)
	}
	has := make(map[checkpoint.Seq]bool)
	for _, m := range good {
		has[m.Seq] = true
		expectPages(t, s, m.Seq)
	}
	if !has[1] && !st.removing || has[1] && st.removed {
		t.Errorf("checkpoint 1 listed: %v; %+v", has[1], st)
	}
	if !has[2] && st.published {
		t.Errorf("checkpoint 2 was published and is gone; %+v", st)
	}
	expectNoLeftovers(t, s)
	if err := s.Compact(context.Background()); err != nil {
		t.Errorf("compact after a crash: %v", err)
	}
	for _, m := range good {
		expectPages(t, s, m.Seq)
	}
	if err := write(s, 3); err != nil {
		t.Errorf("write after a crash: %v", err)
	}
}

// expectPages checks that write's pages are there.
func expectPages(t *testing.T, s *Disk, seq checkpoint.Seq) {
	t.Helper()
	img, err := s.Open(context.Background(), seq)
	if err != nil {
		t.Error(err)
		return
	}
	defer img.Close()
	got := make([]byte, img.Pages().Size())
	if _, err := img.Pages().ReadAt(got, 0); err != nil {
		t.Error(err)
	}
	want := bytes.Repeat([]byte{byte(seq)}, 2*pageindex.PageSize)
	if seq > 1 {
		want = append(want, bytes.Repeat([]byte{byte(seq - 1)}, pageindex.PageSize)...)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the pages of checkpoint %d aren't as written", seq)
	}
}

func expectNoLeftovers(t *testing.T, s *Disk) {
	t.Helper()
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			t.Errorf("%s is left over", e.Name())
		}
	}
}

// TestDiskErrorAtEveryStep: one call fails and the process lives on.
func TestDiskErrorAtEveryStep(t *testing.T) {
	for _, fault := range []struct{ err, want error }{
		{unix.ENOSPC, checkpoint.ErrFull}, {unix.EDQUOT, checkpoint.ErrFull}, {unix.EROFS, checkpoint.ErrReadOnly},
	} {
		for step := 1; ; step++ {
			f := &faultFS{at: step, err: fault.err}
			s, st := tell(t, f)
			if !f.hit {
				break
			}
			good, bad, err := s.List(context.Background())
			if err != nil || len(bad) > 0 {
				t.Fatalf("step %d: list: bad %v, error %v", step, bad, err)
			}
			for _, m := range good {
				if m.Seq == 2 && !st.published {
					t.Errorf("step %d: a checkpoint that wasn't published is listed", step)
				}
				expectPages(t, s, m.Seq)
			}
			if err := s.Compact(context.Background()); err != nil {
				t.Errorf("step %d: compact afterwards: %v", step, err)
			}
			if err := write(s, 3); err != nil {
				t.Errorf("step %d: write afterwards: %v", step, err)
			}
		}
	}
}

func TestDiskSaysWhatIsWrong(t *testing.T) {
	for _, fault := range []struct{ err, want error }{
		{unix.ENOSPC, checkpoint.ErrFull}, {unix.EDQUOT, checkpoint.ErrFull}, {unix.EROFS, checkpoint.ErrReadOnly},
	} {
		f := &faultFS{created: make(map[uint64]bool), entries: make(map[uint64]bool), err: fault.err}
		s, err := openDisk(f, t.TempDir(), testOptions)
		if err != nil {
			t.Fatal(err)
		}
		f.at, f.crash = 1, true
		if err := write(s, 1); !errors.Is(err, fault.want) || !errors.Is(err, fault.err) {
			t.Errorf("%v: got %v", fault.err, err)
		}
		s.Close()
	}
}
