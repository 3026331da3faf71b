package store

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/pageindex"
)

var testOptions = Options{GVisorVersion: "v1", Arch: "amd64", ContainerID: "c"}

func testManifest(seq checkpoint.Seq) checkpoint.Manifest {
	return checkpoint.Manifest{
		Seq: seq, Trigger: checkpoint.TriggerProgram, TakenAt: time.Unix(1700000000, 5), RunTime: time.Second,
		GVisorVersion: "v1", Arch: "amd64", ContainerID: "c",
	}
}

// write stages and publishes a small checkpoint.
func write(s checkpoint.Store, seq checkpoint.Seq) error {
	st, err := s.Stage(context.Background(), seq-1)
	if err != nil {
		return err
	}
	defer st.Discard()
	index := []pageindex.Run{{Source: pageindex.Staged, Pages: 2}}
	if st.Parent() != 0 {
		index = append(index, pageindex.Run{Source: pageindex.Parent, Page: 1, Pages: 1})
	}
	for name, contents := range map[checkpoint.FileName][]byte{
		checkpoint.FileKernel:    []byte("kernel"),
		checkpoint.FilePagesMeta: []byte("metadata"),
		checkpoint.FilePageIndex: pageindex.AppendTo(nil, index),
		checkpoint.FileStaged:    bytes.Repeat([]byte{byte(seq)}, 2*pageindex.PageSize),
	} {
		if _, err := st.File(name).WriteAt(contents, 0); err != nil {
			return err
		}
	}
	_, err = st.Publish(context.Background(), testManifest(seq))
	return err
}

func TestDiskModes(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "a", "b"), testOptions)
	if err := write(s, 1); err != nil {
		t.Fatal(err)
	}
	seen := 0
	err := filepath.WalkDir(s.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		want := fs.FileMode(0o600)
		if e.IsDir() {
			want = fs.ModeDir | 0o700
		}
		if seen++; info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
		}
		return err
	})
	if err != nil || seen != 8 {
		t.Errorf("walked over %d entries: %v", seen, err)
	}
}

func TestDiskLock(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir, testOptions)
	if _, err := OpenDisk(dir, testOptions); !errors.Is(err, ErrInUse) {
		t.Errorf("opened twice: %v", err)
	}
	s.Close()
	openTest(t, dir, testOptions)
}

func TestDiskClearsLeftovers(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{".staging-9", ".removed-00000000000000000004", "other"} {
		if err := os.MkdirAll(filepath.Join(dir, name, "x"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	s := openTest(t, dir, testOptions)
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 || entries[0].Name() != "lock" || entries[1].Name() != "other" {
		t.Errorf("left are %v, %v", entries, err)
	}
	if good, bad, err := s.List(context.Background()); len(good)+len(bad) != 0 || err != nil {
		t.Errorf("listed %v, %v, %v", good, bad, err)
	}
}

func TestDiskListsBadCheckpoints(t *testing.T) {
	s := openTest(t, t.TempDir(), testOptions)
	for seq := range checkpoint.Seq(5) {
		if err := write(s, seq+1); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{
		os.Remove(s.path(dirName(1), manifestName)),
		os.Rename(s.path(dirName(2)), s.path(dirName(9))),
		os.Truncate(s.path(dirName(3), manifestName), 10),
		os.Remove(s.path(dirName(4), manifestName)),
		unix.Mkfifo(s.path(dirName(4), manifestName), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	// With a writer, reading a FIFO would wait for ever.
	writer, err := os.OpenFile(s.path(dirName(4), manifestName), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	good, bad, err := s.List(context.Background())
	if err != nil || len(good) != 1 || good[0].Seq != 5 || len(bad) != 4 {
		t.Fatalf("listed %v, %v, %v", good, bad, err)
	}
	for _, seq := range []checkpoint.Seq{1, 3, 4, 9} {
		if !errors.Is(bad[seq], checkpoint.ErrDamaged) {
			t.Errorf("%d: %v", seq, bad[seq])
		}
		if err := s.Remove(context.Background(), seq); err != nil {
			t.Errorf("remove %d: %v", seq, err)
		}
	}
}

func TestDiskFollowsNoLinks(t *testing.T) {
	s := openTest(t, t.TempDir(), testOptions)
	if err := write(s, 1); err != nil {
		t.Fatal(err)
	}
	kernel := s.path(dirName(1), string(checkpoint.FileKernel))
	moved := filepath.Join(t.TempDir(), "kernel")
	if err := errors.Join(os.Rename(kernel, moved), os.Symlink(moved, kernel)); err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(context.Background(), 1); !errors.Is(err, checkpoint.ErrDamaged) {
		t.Errorf("verify: %v", err)
	}
}

// mountTmpfs mounts a file system of the given size, or skips the test.
func mountTmpfs(t *testing.T, options string) string {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("can't mount: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

func TestDiskFullAndAgainNot(t *testing.T) {
	dir := mountTmpfs(t, "nr_inodes=16")
	s := openTest(t, dir, testOptions)
	var err error
	last := checkpoint.Seq(0)
	for err == nil {
		last++
		err = write(s, last)
	}
	if !errors.Is(err, checkpoint.ErrFull) || last < 2 {
		t.Fatalf("checkpoint %d: %v", last, err)
	}
	good, bad, err := s.List(context.Background())
	if err != nil || len(bad) > 0 || len(good) != int(last)-1 {
		t.Fatalf("listed %v, %v, %v", good, bad, err)
	}
	if err := s.Remove(context.Background(), 1); err != nil {
		t.Fatal(err)
	}
	if err := write(s, last); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

func TestDiskReadOnlyAndAgainNot(t *testing.T) {
	dir := mountTmpfs(t, "")
	s := openTest(t, dir, testOptions)
	if err := write(s, 1); err != nil {
		t.Fatal(err)
	}
	s.Close()
	remount := func(flags uintptr) {
		if err := unix.Mount("", dir, "", unix.MS_REMOUNT|flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	remount(unix.MS_RDONLY)
	s = openTest(t, dir, testOptions)
	if err := write(s, 2); !errors.Is(err, checkpoint.ErrReadOnly) {
		t.Errorf("write: %v", err)
	}
	if err := s.Remove(context.Background(), 1); !errors.Is(err, checkpoint.ErrReadOnly) {
		t.Errorf("remove: %v", err)
	}
	if err := s.Verify(context.Background(), 1); err != nil {
		t.Errorf("verify: %v", err)
	}
	if _, err := OpenDisk(filepath.Join(dir, "new"), testOptions); !errors.Is(err, checkpoint.ErrReadOnly) {
		t.Errorf("open where there is no directory: %v", err)
	}
	remount(0)
	if err := write(s, 2); err != nil {
		t.Errorf("writable again: %v", err)
	}
}
