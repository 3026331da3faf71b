package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/cespare/xxhash/v2"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/store/frame"
)

// files are the open files of a checkpoint, in the order of
// checkpoint.FileNames.
type files [len(checkpoint.FileNames)]*os.File

func (fs *files) get(name checkpoint.FileName) *os.File {
	for i, n := range checkpoint.FileNames {
		if n == name {
			return fs[i]
		}
	}
	return nil
}

// set puts a file into its place, and closes the file that was there.
func (fs *files) set(name checkpoint.FileName, f *os.File) {
	for i, n := range checkpoint.FileNames {
		if n == name {
			if fs[i] != nil {
				fs[i].Close()
			}
			fs[i] = f
		}
	}
}

// close closes the files that are open.
func (fs *files) close() error {
	var errs []error
	for i, f := range fs {
		if f != nil {
			errs = append(errs, f.Close())
			fs[i] = nil
		}
	}
	return errors.Join(errs...)
}

// openFiles opens each file with open, or none.
func openFiles(open func(checkpoint.FileName) (*os.File, error)) (files, error) {
	var fs files
	for i, name := range checkpoint.FileNames {
		f, err := open(name)
		if err != nil {
			fs.close()
			return files{}, fmt.Errorf("open %s: %w", name, err)
		}
		fs[i] = f
	}
	return fs, nil
}

// describe measures and hashes the files as they are now. Errors: ErrFull when
// they are larger than maxBytes together, ctx's.
func (fs *files) describe(ctx context.Context, maxBytes int64) ([]checkpoint.FileInfo, error) {
	var infos []checkpoint.FileInfo
	for i, name := range checkpoint.FileNames {
		stat, err := fs[i].Stat()
		if err != nil {
			return nil, fmt.Errorf("measure %s: %w", name, err)
		}
		if maxBytes -= stat.Size(); maxBytes < 0 {
			return nil, fmt.Errorf("%w: it is larger than a checkpoint may be", checkpoint.ErrFull)
		}
		sum, err := hash(ctx, fs[i], stat.Size())
		if err != nil {
			return nil, fmt.Errorf("hash %s: %w", name, err)
		}
		infos = append(infos, checkpoint.FileInfo{Name: name, Bytes: stat.Size(), Hash: formatHash(sum)})
	}
	return infos, nil
}

// verify compares the files with their entries in the manifest. Errors:
// ErrDamaged, ctx's.
func (fs *files) verify(ctx context.Context, want []checkpoint.FileInfo) error {
	for i, w := range want {
		stat, err := fs[i].Stat()
		if err != nil {
			return fmt.Errorf("%w: measure %s: %w", checkpoint.ErrDamaged, w.Name, err)
		}
		if stat.Size() != w.Bytes {
			return fmt.Errorf("%w: %s has %d bytes, not %d", checkpoint.ErrDamaged, w.Name, stat.Size(), w.Bytes)
		}
		sum, err := hash(ctx, fs[i], w.Bytes)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return fmt.Errorf("%w: hash %s: %w", checkpoint.ErrDamaged, w.Name, err)
		case formatHash(sum) != w.Hash:
			return fmt.Errorf("%w: %s has hash %s, not %s", checkpoint.ErrDamaged, w.Name, formatHash(sum), w.Hash)
		}
	}
	return nil
}

// hash hashes size bytes from the start of f, which keeps its position. The
// sandbox may change the file meanwhile, which changes the hash and not the
// number of bytes that are read.
func hash(ctx context.Context, f *os.File, size int64) (uint64, error) {
	h := xxhash.New()
	buf := make([]byte, min(size, 1<<20))
	for at := int64(0); at < size; {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		n, err := f.ReadAt(buf[:min(size-at, int64(len(buf)))], at)
		h.Write(buf[:n])
		at += int64(n)
		if err == io.EOF && at < size {
			return 0, io.ErrUnexpectedEOF
		}
		if err != nil && err != io.EOF {
			return 0, err
		}
	}
	return h.Sum64(), nil
}

// isPacked reports whether a file of a checkpoint is packed on disk. The index
// isn't: it is small, and is read without a manifest.
func isPacked(name checkpoint.FileName) bool { return name != checkpoint.FilePageIndex }

// unpack replaces packed files by files in memory with their contents. infos are
// the manifest's and may be hostile. Errors: ErrDamaged.
func (fs *files) unpack(c *frame.Codec, infos []checkpoint.FileInfo, maxBytes int64) error {
	for i, info := range infos {
		if !isPacked(info.Name) {
			continue
		}
		if info.Contents > maxBytes {
			return fmt.Errorf("%w: %s holds %d bytes", checkpoint.ErrDamaged, info.Name, info.Contents)
		}
		f, err := c.UnpackFile(fs[i], info.Contents, string(info.Name))
		if err != nil {
			return err
		}
		fs.set(info.Name, f)
	}
	return nil
}
