// Package imagedir reads an ordinary gVisor image in a directory as a
// checkpoint.
//
// It must not know stores: such an image has no manifest and no hashes, and only
// the operator who names the directory vouches for it. The package has no locks
// and starts no goroutines.
package imagedir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cespare/xxhash/v2"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/pageindex"
)

// imageDir implements checkpoint.Image.
type imageDir struct {
	files map[checkpoint.FileName]*os.File
	pages pagesFile
}

// pagesFile implements checkpoint.PageReader.
type pagesFile struct {
	*os.File
	size int64
}

func (f pagesFile) Size() int64 { return f.size }

// ReadPages implements checkpoint.PageReader. Pages aren't verified: their
// hashes are those of the file as it is.
func (f pagesFile) ReadPages(b []byte, first uint64, sums []uint64) error {
	b = b[:len(sums)*pageindex.PageSize]
	if _, err := f.ReadAt(b, int64(first*pageindex.PageSize)); err != nil {
		return fmt.Errorf("%w: read pages: %w", checkpoint.ErrDamaged, err)
	}
	for i := range sums {
		sums[i] = xxhash.Sum64(b[i*pageindex.PageSize : (i+1)*pageindex.PageSize])
	}
	return nil
}

// Open opens the files of an image for reading. Its manifest is empty. The caller closes the image. Errors:
// the operating system's.
func Open(dir string) (checkpoint.Image, error) {
	img := &imageDir{files: make(map[checkpoint.FileName]*os.File)}
	for _, name := range []checkpoint.FileName{checkpoint.FileKernel, checkpoint.FilePagesMeta, checkpoint.FilePages} {
		f, err := os.Open(filepath.Join(dir, string(name)))
		if err != nil {
			img.Close()
			return nil, fmt.Errorf("open image: %w", err)
		}
		img.files[name] = f
	}
	stat, err := img.files[checkpoint.FilePages].Stat()
	if err != nil {
		img.Close()
		return nil, fmt.Errorf("open image: %w", err)
	}
	img.pages = pagesFile{img.files[checkpoint.FilePages], stat.Size()}
	return img, nil
}

// Manifest implements checkpoint.Image.
func (i *imageDir) Manifest() checkpoint.Manifest { return checkpoint.Manifest{} }

// File implements checkpoint.Image.
func (i *imageDir) File(name checkpoint.FileName) *os.File { return i.files[name] }

// Pages implements checkpoint.Image.
func (i *imageDir) Pages() checkpoint.PageReader { return i.pages }

// Close implements checkpoint.Image.
func (i *imageDir) Close() error {
	var errs []error
	for _, f := range i.files {
		errs = append(errs, f.Close())
	}
	clear(i.files)
	return errors.Join(errs...)
}
