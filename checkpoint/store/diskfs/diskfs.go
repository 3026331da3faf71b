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

// FS is a file system. Implementations are safe for concurrent use. Errors are
// those of the operating system, wrapped or not; after an error a step may have
// been taken in part.
type FS interface {
	Directories
	Files
}

// Directories are the steps on names. They are durable after SyncDir of the
// directory that the names are in.
type Directories interface {
	// MkdirAll makes a directory, and those above it, for the owner alone. It
	// succeeds when the directory is there.
	MkdirAll(path string) error
	// Mkdir makes a directory for the owner alone.
	Mkdir(path string) error
	// ReadDir lists a directory by name.
	ReadDir(path string) ([]os.DirEntry, error)
	SyncDir(path string) error
	// Rename is atomic.
	Rename(from, to string) error
	// RemoveAll removes a file, or a directory with its contents. It succeeds
	// when there is none.
	RemoveAll(path string) error
}

// Files are the steps on files. No call follows a symbolic link at the end of a
// path. The caller closes the files.
type Files interface {
	// Create makes a file that isn't there, for the owner alone, and opens it
	// for reading and writing.
	Create(path string) (*os.File, error)
	// Open opens a file for reading. It doesn't wait for a FIFO's writer.
	Open(path string) (*os.File, error)
	// OpenWritable opens a file for reading and writing, or for reading alone
	// on a read-only file system.
	OpenWritable(path string) (*os.File, error)
	WriteAt(f *os.File, data []byte, at int64) error
	// Sync makes a file's contents durable.
	Sync(f *os.File) error
}

// Host implements FS on the host's file systems.
type Host struct{}

var _ FS = Host{}

// MkdirAll implements Directories.
func (Host) MkdirAll(path string) error { return os.MkdirAll(path, 0o700) }

// Mkdir implements Directories.
func (Host) Mkdir(path string) error { return os.Mkdir(path, 0o700) }

// ReadDir implements Directories.
func (Host) ReadDir(path string) ([]os.DirEntry, error) { return os.ReadDir(path) }

// SyncDir implements Directories.
func (Host) SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Rename implements Directories.
func (Host) Rename(from, to string) error { return os.Rename(from, to) }

// RemoveAll implements Directories.
func (Host) RemoveAll(path string) error { return os.RemoveAll(path) }

// Create implements Files.
func (Host) Create(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
}

// Open implements Files.
func (Host) Open(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
}

// OpenWritable implements Files.
func (Host) OpenWritable(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.EROFS) {
		return Host{}.Open(path)
	}
	return f, err
}

// WriteAt implements Files.
func (Host) WriteAt(f *os.File, data []byte, at int64) error {
	_, err := f.WriteAt(data, at)
	return err
}

// Sync implements Files.
func (Host) Sync(f *os.File) error { return f.Sync() }
