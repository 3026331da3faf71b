// Package diskfs is the steps that a store takes on a disk, each a method, so
// that a test can make each of them fail or cut a store short after it.
//
// It must not know the files of a store, nor their contents. The package has no
// locks and starts no goroutines.
package diskfs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// FS is a file system, one method for each step that can fail or be cut short
// by a crash. Implementations are safe for concurrent use. Errors are those of
// the operating system, wrapped or not.
type FS interface {
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

// Host is the host's file system.
type Host struct{}

func (Host) MkdirAll(path string) error { return os.MkdirAll(path, 0o700) }

func (Host) Mkdir(path string) error { return os.Mkdir(path, 0o700) }

func (Host) Create(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
}

func (Host) Open(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
}

func (Host) OpenWritable(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.EROFS) {
		return Host{}.Open(path)
	}
	return f, err
}

func (Host) ReadDir(path string) ([]os.DirEntry, error) { return os.ReadDir(path) }

func (Host) WriteAt(f *os.File, data []byte, at int64) error {
	_, err := f.WriteAt(data, at)
	return err
}

func (Host) Sync(f *os.File) error { return f.Sync() }

func (Host) SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func (Host) Rename(from, to string) error { return os.Rename(from, to) }

func (Host) RemoveAll(path string) error { return os.RemoveAll(path) }
