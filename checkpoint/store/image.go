package store

import (
	"context"
	"errors"
	"fmt"
	"os"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/store/pagepool"
)

// image implements checkpoint.Image over files that it owns and pages that it
// holds.
type image struct {
	manifest checkpoint.Manifest
	files    files
	pool     *pagepool.Pool
	lease    *pagepool.Lease
	closed   bool
}

// verify compares the files with their hashes, and closes the image when they
// differ. Pages are compared when they are read: they may be many, and a copy
// can run before all of them are. Errors: ErrDamaged, ctx's.
func (i *image) verify(ctx context.Context) error {
	err := i.files.verify(ctx, i.manifest.Files)
	if err == nil && !i.lease.Complete() {
		err = fmt.Errorf("%w: pages of it aren't in the store", checkpoint.ErrDamaged)
	}
	if err != nil {
		i.Close()
	}
	return err
}

// verifyPages compares the pages with their hashes. Errors: ErrDamaged, ctx's.
func (i *image) verifyPages(ctx context.Context) error { return i.pool.Verify(ctx, i.lease.Index()) }

// Manifest implements checkpoint.Image.
func (i *image) Manifest() checkpoint.Manifest { return i.manifest }

// File implements checkpoint.Image.
func (i *image) File(name checkpoint.FileName) *os.File { return i.files.get(name) }

// Pages implements checkpoint.Image.
func (i *image) Pages() checkpoint.PageReader { return i.lease.Pages() }

// Close implements checkpoint.Image.
func (i *image) Close() error {
	if i.closed {
		return nil
	}
	i.closed = true
	return errors.Join(i.files.close(), i.lease.Release())
}

// verify opens a checkpoint of a store, reads its pages and keeps nothing of
// it.
func verify(ctx context.Context, open func(context.Context, checkpoint.Seq) (*image, error), seq checkpoint.Seq) error {
	img, err := open(ctx, seq)
	if err != nil {
		return err
	}
	if err = img.verifyPages(ctx); err != nil {
		err = fmt.Errorf("verify checkpoint %d: %w", seq, err)
	}
	return errors.Join(err, img.Close())
}
