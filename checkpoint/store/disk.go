package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/store/diskfs"
	"runsc-recover/checkpoint/store/frame"
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
	fs       diskfs.FS
	dir      string
	lock     *os.File
	codec    *frame.Codec
	stagings atomic.Int64 // numbers directories and files being written
}

var _ checkpoint.Store = (*Disk)(nil)

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
	img, err := s.openImage(ctx, seq)
	if err != nil {
		return nil, err
	}
	return img, nil
}

func (s *Disk) openImage(ctx context.Context, seq checkpoint.Seq) (*image, error) {
	if err := s.checkOpen(); err != nil {
		return nil, err
	}
	img, err := s.loadImage(ctx, seq)
	if err != nil {
		return nil, fmt.Errorf("open checkpoint %d: %w", seq, err)
	}
	return img, nil
}

func (s *Disk) loadImage(ctx context.Context, seq checkpoint.Seq) (*image, error) {
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
	index, published := s.indexes[seq]
	img := &image{manifest: m, files: fs, pool: s.pool, lease: s.pool.Lease(index)}
	s.mu.Unlock()
	if err := img.verify(ctx); err != nil {
		return nil, err
	}
	if !published {
		img.Close()
		return nil, s.withoutIndex(seq)
	}
	if err := img.files.unpack(s.codec, m.Files, s.opts.maxBytes()); err != nil {
		img.Close()
		return nil, err
	}
	return img, nil
}

// withoutIndex is the error of a checkpoint whose index isn't in the catalog:
// ErrNotFound or ErrDamaged.
func (s *Disk) withoutIndex(seq checkpoint.Seq) error {
	if _, err := os.Lstat(s.path(dirName(seq))); errors.Is(err, fs.ErrNotExist) {
		return checkpoint.ErrNotFound
	}
	return fmt.Errorf("%w: its page index could not be read", checkpoint.ErrDamaged)
}

// Verify implements checkpoint.Store.
func (s *Disk) Verify(ctx context.Context, seq checkpoint.Seq) error {
	return verify(ctx, s.openImage, seq)
}

// Remove implements checkpoint.Store. Once the directory has its other name
// the checkpoint is gone, whatever becomes of its files.
func (s *Disk) Remove(_ context.Context, seq checkpoint.Seq) error {
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
		// Pages are released last: a crash before may bring the name back. Room
		// that can't be given back now is given back at the next open.
		_ = s.forgetLocked(seq)
		err = s.fs.RemoveAll(removed)
	}
	if err != nil {
		return fmt.Errorf("remove checkpoint %d: %w", seq, classify(err))
	}
	return nil
}

// Compact implements checkpoint.Store.
func (s *Disk) Compact(ctx context.Context) error {
	if err := s.discardSpare(); err != nil {
		return err
	}
	return classify(s.pool.Compact(ctx))
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
	s.spare.discard()
	return s.lock.Close()
}
