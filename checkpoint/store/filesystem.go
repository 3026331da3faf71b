package store

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// filesystem is what the store does to disks, one call for each step that can
// fail or be cut short by a crash.
type filesystem interface {
	MkdirAll(path string) error
	Mkdir(path string) error
	Create(path string) (*os.File, error)
	Open(path string) (*os.File, error)
	OpenWritable(path string) (*os.File, error)
	ReadDir(path string) ([]os.DirEntry, error)
	WriteAt(f *os.File, data []byte, at int64) error
	Sync(f *os.File) error
	SyncDir(path string) error
	Rename(from, to string) error
	RemoveAll(path string) error
}

// hostFS is the host's file system.
type hostFS struct{}

func (hostFS) MkdirAll(path string) error { return os.MkdirAll(path, 0o700) }

func (hostFS) Mkdir(path string) error { return os.Mkdir(path, 0o700) }

func (hostFS) Create(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
}

func (hostFS) Open(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
}

func (hostFS) OpenWritable(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.EROFS) {
		return hostFS{}.Open(path)
	}
	return f, err
}

func (hostFS) ReadDir(path string) ([]os.DirEntry, error) { return os.ReadDir(path) }

func (hostFS) WriteAt(f *os.File, data []byte, at int64) error {
	_, err := f.WriteAt(data, at)
	return err
}

func (hostFS) Sync(f *os.File) error { return f.Sync() }

func (hostFS) SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func (hostFS) Rename(from, to string) error { return os.Rename(from, to) }

func (hostFS) RemoveAll(path string) error { return os.RemoveAll(path) }
