package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/store/diskfs"
	"runsc-recover/checkpoint/store/frame"
	"runsc-recover/checkpoint/store/lowprio"
	"runsc-recover/checkpoint/store/pagepool"
)

// OpenDisk opens the store in dir, made if it isn't there, and removes the
// leftovers of a crash. A directory that can be read but not written is opened
// all the same: its Stage says ErrReadOnly. The caller closes the store. Errors:
// ErrInUse, ErrReadOnly, ErrFull, the operating system's.
func OpenDisk(dir string, opts Options) (*Disk, error) {
	return openDisk(diskfs.Host{}, dir, opts)
}

func openDisk(fsys diskfs.FS, dir string, opts Options) (*Disk, error) {
	s := &Disk{catalog: newCatalog(opts), fs: fsys, dir: dir}
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("open checkpoint store: %w", err)
	}
	s.thread = lowprio.New()
	return s, nil
}

// open takes the store's lock and recovers the store. It takes nothing when it
// fails.
func (s *Disk) open() error {
	if err := makeDir(s.fs, s.dir); err != nil {
		return classify(err)
	}
	lock, err := lockDir(s.dir)
	if err != nil {
		return classify(err)
	}
	if s.codec, err = frame.NewCodec(); err == nil {
		err = s.recover()
	}
	if err != nil {
		lock.Close()
		return err
	}
	s.lock = lock
	return nil
}

// makeDir makes the store's directory durably, if it isn't there.
func makeDir(fsys diskfs.FS, dir string) error {
	if _, err := os.Lstat(dir); err == nil {
		return nil
	}
	if err := fsys.MkdirAll(dir); err != nil {
		return err
	}
	return fsys.SyncDir(filepath.Dir(dir))
}

// lockDir takes the store's lock, which is released with the file returned.
func lockDir(dir string) (*os.File, error) {
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if errors.Is(err, unix.EROFS) {
		f, err = os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	}
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if err == unix.EWOULDBLOCK {
			return nil, ErrInUse
		}
		return nil, os.NewSyscallError("flock", err)
	}
	return f, nil
}

// recover removes leftovers, finds the highest number used, and fills the
// catalog and the pool.
func (s *Disk) recover() error {
	entries, err := s.fs.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("list the directory: %w", err)
	}
	if err := s.removeLeftovers(entries); err != nil {
		return err
	}
	if s.pool, err = pagepool.OpenDisk(s.fs, s.dir, s.nextStagingPath, s.codec); err != nil {
		return err
	}
	for _, e := range entries {
		if seq, ok := parseDirName(e.Name()); ok {
			s.last = max(s.last, seq)
			s.sizes[seq] = s.measure(e.Name())
			s.loadIndex(seq)
		}
	}
	if err := s.pool.Trim(); err != nil && !errors.Is(classify(err), checkpoint.ErrReadOnly) {
		s.pool.Close()
		return fmt.Errorf("remove unreferenced pages: %w", err)
	}
	return nil
}

// removeLeftovers removes the directories and files of unfinished stagings and
// removals, unless the directory can't be written.
func (s *Disk) removeLeftovers(entries []fs.DirEntry) error {
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), stagingPrefix) && !strings.HasPrefix(e.Name(), removedPrefix) {
			continue
		}
		err := s.fs.RemoveAll(s.path(e.Name()))
		if err != nil && !errors.Is(classify(err), checkpoint.ErrReadOnly) {
			return fmt.Errorf("remove %s: %w", e.Name(), err)
		}
	}
	return nil
}

// loadIndex holds the pages of a published checkpoint. A checkpoint whose index
// can't be read holds none: Open says that it is damaged.
func (s *Disk) loadIndex(seq checkpoint.Seq) {
	f, err := s.openFile(seq, string(checkpoint.FilePageIndex))
	if err != nil {
		return
	}
	defer f.Close()
	index, err := readIndex(f)
	if err != nil {
		return
	}
	s.pool.Reserve(index)
	s.indexes[seq] = index
	s.pool.Hold(index)
}

// measure is the sum of the sizes of a directory's files.
func (s *Disk) measure(name string) int64 {
	entries, err := s.fs.ReadDir(s.path(name))
	if err != nil {
		return 0
	}
	bytes := int64(0)
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			bytes += info.Size()
		}
	}
	return bytes
}
