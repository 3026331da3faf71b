package store

import (
	"context"
	"errors"
	"fmt"
	"os"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/pageindex"
	"runsc-recover/checkpoint/store/pagepool"
)

// image is an Image over files that are its own and pages that it holds.
type image struct {
	manifest checkpoint.Manifest
	files    files
	pool     *pagepool.Pool
	index    []pageindex.Run
	closed   bool
}

func newImage(m checkpoint.Manifest, fs files, p *pagepool.Pool, index []pageindex.Run) *image {
	p.Use(index)
	return &image{manifest: m, files: fs, pool: p, index: index}
}

// verify compares the files with their hashes, and closes the image when they
// don't match. The pages' hashes are compared when they are read: a copy can
// run before all of them are, and they may be many.
func (i *image) verify(ctx context.Context) error {
	err := i.files.verify(ctx, i.manifest.Files)
	if err == nil && !i.pool.Has(i.index) {
		err = fmt.Errorf("%w: pages of it aren't in the store", checkpoint.ErrDamaged)
	}
	if err != nil {
		i.Close()
	}
	return err
}

// verifyPages compares the pages with their hashes.
func (i *image) verifyPages(ctx context.Context) error { return i.pool.Verify(ctx, i.index) }

func (i *image) Manifest() checkpoint.Manifest { return i.manifest }

func (i *image) File(name checkpoint.FileName) *os.File { return i.files.get(name) }

func (i *image) Pages() checkpoint.PageReader { return i.pool.Pages(i.index) }

func (i *image) Close() error {
	if i.closed {
		return nil
	}
	i.closed = true
	return errors.Join(i.files.close(), i.pool.Done(i.index))
}
