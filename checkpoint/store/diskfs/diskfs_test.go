package diskfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"runsc-recover/test/expect"
)

// Files that another user of the host could put in place of ours are refused, or
// don't hold anybody up.
func TestHostileFiles(t *testing.T) {
	dir := t.TempDir()
	file, link, fifo := filepath.Join(dir, "file"), filepath.Join(dir, "link"), filepath.Join(dir, "fifo")
	if err := errors.Join(os.WriteFile(file, []byte("contents"), 0o600), os.Symlink(file, link), unix.Mkfifo(fifo, 0o600)); err != nil {
		t.Fatal(err)
	}
	var host Host
	for name, open := range map[string]func(string) (*os.File, error){"open": host.Open, "open writable": host.OpenWritable, "create": host.Create} {
		f, err := open(link)
		if err == nil {
			f.Close()
			t.Errorf("%s follows a link", name)
		}
	}
	_, err := host.Create(file)
	expect.Equal(t, "create a file that is there", errors.Is(err, fs.ErrExist), true)
	f, err := host.Open(fifo)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}

// Files and directories are for the owner alone, and a file can be written, read
// and removed.
func TestHost(t *testing.T) {
	var host Host
	dir := filepath.Join(t.TempDir(), "a", "b")
	expect.Equal(t, "make directories", host.MkdirAll(dir), nil)
	expect.Equal(t, "make them again", host.MkdirAll(dir), nil)
	sub := filepath.Join(dir, "sub")
	expect.Equal(t, "make a directory", host.Mkdir(sub), nil)
	expect.Equal(t, "make it again", errors.Is(host.Mkdir(sub), fs.ErrExist), true)
	path := filepath.Join(sub, "file")
	f, err := host.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	expect.Equal(t, "write", host.WriteAt(f, []byte("tents"), 3), nil)
	expect.Equal(t, "write", host.WriteAt(f, []byte("con"), 0), nil)
	expect.Equal(t, "sync", host.Sync(f), nil)
	expect.Equal(t, "sync the directory", host.SyncDir(sub), nil)
	for path, want := range map[string]fs.FileMode{dir: fs.ModeDir | 0o700, sub: fs.ModeDir | 0o700, path: 0o600} {
		info, err := os.Lstat(path)
		expect.Equal(t, "error", err, nil)
		expect.Equal(t, "mode", info.Mode(), want)
	}
	moved := filepath.Join(dir, "moved")
	expect.Equal(t, "rename", host.Rename(path, moved), nil)
	got, err := os.ReadFile(moved)
	expect.Equal(t, "error", err, nil)
	expect.Equal(t, "contents", string(got), "contents")
	entries, err := host.ReadDir(dir)
	expect.Equal(t, "error", err, nil)
	expect.Equal(t, "entries", len(entries), 2)
	expect.Equal(t, "remove", host.RemoveAll(dir), nil)
	expect.Equal(t, "remove again", host.RemoveAll(dir), nil)
}
