package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/store/diskfs"
	"runsc-recover/checkpoint/store/frame"
	"runsc-recover/checkpoint/store/lowprio"
	"runsc-recover/checkpoint/store/pagepool"
)

// The names in a store's directory.
const (
	lockName      = "lock"
	stagingPrefix = ".staging-"
	removedPrefix = ".removed-"
)

// dirName is the name of a checkpoint's directory; parseDirName its inverse.
func dirName(seq checkpoint.Seq) string { return fmt.Sprintf("%020d", uint64(seq)) }

func parseDirName(name string) (checkpoint.Seq, bool) {
	n, err := strconv.ParseUint(name, 10, 64)
	return checkpoint.Seq(n), err == nil && n > 0 && dirName(checkpoint.Seq(n)) == name
}

// Disk keeps checkpoints in a directory. They survive this process and the
// host's restart.
type Disk struct {
	catalog
	fs     diskfs.FS
	dir    string
	lock   *os.File
	codec  *frame.Codec
	staged atomic.Int64 // numbers what is being written
}

var _ checkpoint.Store = (*Disk)(nil)

// OpenDisk opens the store in dir, made if it isn't there, and clears away
// what a crash left. A directory that can be read but not written is opened
// all the same: its Stage says ErrReadOnly. Errors: ErrInUse, ErrReadOnly,
// ErrFull.
func OpenDisk(dir string, opts Options) (*Disk, error) {
	return openDisk(diskfs.Host{}, dir, opts)
}

func openDisk(fsys diskfs.FS, dir string, opts Options) (*Disk, error) {
	if err := makeDir(fsys, dir); err != nil {
		return nil, fmt.Errorf("open checkpoint store: %w", classify(err))
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, fmt.Errorf("open checkpoint store: %w", classify(err))
	}
	s := &Disk{catalog: newCatalog(opts), fs: fsys, dir: dir, lock: lock}
	if s.codec, err = frame.NewCodec(); err != nil {
		lock.Close()
		return nil, fmt.Errorf("open checkpoint store: %w", err)
	}
	if err := s.recover(); err != nil {
		lock.Close()
		return nil, fmt.Errorf("open checkpoint store: %w", err)
	}
	s.thread = lowprio.New()
	return s, nil
}

// makeDir makes the store's directory, to last, if it isn't there.
func makeDir(fsys diskfs.FS, dir string) error {
	if _, err := os.Lstat(dir); err == nil {
		return nil
	}
	if err := fsys.MkdirAll(dir); err != nil {
		return err
	}
	return fsys.SyncDir(filepath.Dir(dir))
}

// lockDir takes the store's lock, which goes with the file returned.
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

// recover clears leftovers away, finds the highest number used, and learns
// which pages there are and which are referred to.
func (s *Disk) recover() error {
	entries, err := s.fs.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("list the directory: %w", err)
	}
	for _, e := range entries {
		if seq, ok := parseDirName(e.Name()); ok {
			s.last = max(s.last, seq)
			continue
		}
		if !strings.HasPrefix(e.Name(), stagingPrefix) && !strings.HasPrefix(e.Name(), removedPrefix) {
			continue
		}
		err := s.fs.RemoveAll(s.path(e.Name()))
		if err != nil && !errors.Is(classify(err), checkpoint.ErrReadOnly) {
			return fmt.Errorf("clear away %s: %w", e.Name(), err)
		}
	}
	if s.pool, err = pagepool.OpenDisk(s.fs, s.dir, s.nextStagingPath, s.codec); err != nil {
		return err
	}
	for _, e := range entries {
		if seq, ok := parseDirName(e.Name()); ok {
			s.bytes[seq] = s.measure(e.Name())
			s.loadIndex(seq)
		}
	}
	if err := s.pool.Trim(); err != nil && !errors.Is(classify(err), checkpoint.ErrReadOnly) {
		s.pool.Close()
		return fmt.Errorf("clear away pages: %w", err)
	}
	return nil
}

// loadIndex holds the pages of a published checkpoint. One whose index can't
// be read holds none: Open says what is wrong with it.
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

func (s *Disk) path(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}

// List implements checkpoint.Store.
func (s *Disk) List(ctx context.Context) ([]checkpoint.Manifest, map[checkpoint.Seq]error, error) {
	if err := s.checkOpen(); err != nil {
		return nil, nil, err
	}
	entries, err := s.fs.ReadDir(s.dir)
	if err != nil {
		return nil, nil, fmt.Errorf("list checkpoints: %w", err)
	}
	var good []checkpoint.Manifest
	bad := make(map[checkpoint.Seq]error)
	for _, e := range entries { // sorted by name, so by number
		seq, ok := parseDirName(e.Name())
		if !ok {
			continue
		}
		m, err := s.manifest(seq)
		switch {
		case errors.Is(err, checkpoint.ErrNotFound): // removed meanwhile
		case err != nil:
			bad[seq] = err
		default:
			good = append(good, m)
		}
	}
	return good, bad, nil
}

// manifest reads the manifest of a published checkpoint. Errors: ErrNotFound,
// ErrDamaged, ErrVersion.
func (s *Disk) manifest(seq checkpoint.Seq) (checkpoint.Manifest, error) {
	f, err := s.openFile(seq, manifestName)
	if err != nil {
		return checkpoint.Manifest{}, err
	}
	defer f.Close()
	m, err := readManifest(f)
	if err != nil {
		return m, err
	}
	if m.Seq != seq {
		return m, fmt.Errorf("%w: the manifest is checkpoint %d's", checkpoint.ErrDamaged, m.Seq)
	}
	return m, nil
}

// openFile opens a regular file of a checkpoint. Errors: ErrNotFound when
// there is no such checkpoint, else ErrDamaged.
func (s *Disk) openFile(seq checkpoint.Seq, name string) (*os.File, error) {
	f, err := s.fs.Open(s.path(dirName(seq), name))
	if err != nil {
		if _, dirErr := os.Lstat(s.path(dirName(seq))); errors.Is(dirErr, fs.ErrNotExist) {
			return nil, checkpoint.ErrNotFound
		}
		return nil, fmt.Errorf("%w: %w", checkpoint.ErrDamaged, err)
	}
	if stat, err := f.Stat(); err != nil || !stat.Mode().IsRegular() {
		f.Close()
		return nil, fmt.Errorf("%w: %s isn't a regular file", checkpoint.ErrDamaged, name)
	}
	return f, nil
}

// Open implements checkpoint.Store.
func (s *Disk) Open(ctx context.Context, seq checkpoint.Seq) (checkpoint.Image, error) {
	if err := s.checkOpen(); err != nil {
		return nil, err
	}
	img, err := s.openImage(ctx, seq)
	if err != nil {
		return nil, fmt.Errorf("open checkpoint %d: %w", seq, err)
	}
	return img, nil
}

func (s *Disk) openImage(ctx context.Context, seq checkpoint.Seq) (*image, error) {
	m, err := s.manifest(seq)
	if err != nil {
		return nil, err
	}
	if err := s.opts.matches(m); err != nil {
		return nil, err
	}
	fs, err := openFiles(func(name checkpoint.FileName) (*os.File, error) {
		return s.openFile(seq, string(name))
	})
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	index, held := s.indexes[seq]
	img := newImage(m, fs, s.pool, index)
	s.mu.Unlock()
	if err := img.verify(ctx); err != nil {
		return nil, err
	}
	if !held {
		img.Close()
		return nil, s.notHeld(seq)
	}
	if err := img.files.unpack(s.codec, m.Files, s.opts.maxBytes()); err != nil {
		img.Close()
		return nil, err
	}
	return img, nil
}

// notHeld says what is wrong with a checkpoint whose index isn't known.
func (s *Disk) notHeld(seq checkpoint.Seq) error {
	if _, err := os.Lstat(s.path(dirName(seq))); errors.Is(err, fs.ErrNotExist) {
		return checkpoint.ErrNotFound
	}
	return fmt.Errorf("%w: its page index could not be read", checkpoint.ErrDamaged)
}

// Verify implements checkpoint.Store.
func (s *Disk) Verify(ctx context.Context, seq checkpoint.Seq) error {
	return verify(ctx, s, seq)
}

// Remove implements checkpoint.Store. Once the directory has its other name
// the checkpoint is gone, whatever becomes of its files.
func (s *Disk) Remove(ctx context.Context, seq checkpoint.Seq) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.checkOpenLocked(); err != nil {
		return err
	}
	removed := s.path(removedPrefix + dirName(seq))
	err := s.fs.Rename(s.path(dirName(seq)), removed)
	if errors.Is(err, fs.ErrNotExist) {
		err = checkpoint.ErrNotFound
	}
	if err == nil {
		err = s.fs.SyncDir(s.dir)
	}
	if err == nil {
		// Not before: a crash may bring the name back. What can't be given back
		// now is at the next open.
		_ = s.forgetLocked(seq)
		err = s.fs.RemoveAll(removed)
	}
	if err != nil {
		return fmt.Errorf("remove checkpoint %d: %w", seq, classify(err))
	}
	return nil
}

// Close implements checkpoint.Store.
func (s *Disk) Close() error {
	s.mu.Lock()
	again := s.closed
	s.closed = true
	s.mu.Unlock()
	if again {
		return nil
	}
	s.pool.Close()
	s.thread.End()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spare.close()
	return s.lock.Close()
}
