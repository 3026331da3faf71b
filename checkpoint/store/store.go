// Package store keeps checkpoints, in memory or on disk: it stages, publishes,
// verifies, lists and removes them.
//
// On disk, under the store's directory:
//
//	lock                     held with flock by the process that has the store open
//	00000000000000000007/    checkpoint 7
//	    manifest.json        see manifest.go
//	    checkpoint.img       gVisor's kernel, packed (pack.go)
//	    pages_meta.img       and memory metadata, packed
//	    pages.idx            where its pages are, by address (package pageindex)
//	pages-00000000000000000005   segment 5: pages of any checkpoints, see disk_segments.go
//	.staging-1/              being written; removed at the next open if left over
//	.removed-7/              being deleted; likewise
//
// A checkpoint is published by fsync of its files, fsync of its directory,
// rename and fsync of the store's directory, and removed by rename first, so
// that a reader, or an open after a crash, never meets half of one. Files have
// mode 0600, directories 0700: checkpoints hold a program's secrets.
//
// In memory, a checkpoint is three memfds, which can be reopened through
// /proc/self/fd, and segments are memfds too.
//
// Pages belong to no checkpoint: an index refers to them by address, and they
// stay for as long as one does (pool.go). A segment is complete, and has its
// name, before an index that refers to it is published. Segments with little
// left in them are rewritten (compaction.go).
//
// What goes to disk is compressed; pages in memory are not, since a copy may
// wait for them. Publishing and compaction run at low priority (aside.go).
//
// The sandbox may still hold a descriptor of a staged file when it has been
// published. What it writes into kernel or metadata in memory then is found as
// damage by Open; all else are the store's own copies. Staging memory is handed
// out again and again: memory never touched before takes many times as long to
// write.
//
// The package must not know what the files contain, nor which checkpoints are
// worth keeping.
package store

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"runsc-recover/checkpoint"
)

// ErrInUse: another process has the store open. It is wrapped.
var ErrInUse = errors.New("checkpoint store is in use by another process")

// DefaultMaxBytes bounds a checkpoint where Options don't.
const DefaultMaxBytes = 1 << 38

// Options say whose checkpoints a store keeps. Checkpoints of others are
// refused: at Publish as a caller's mistake, at Open with ErrVersion.
type Options struct {
	GVisorVersion string
	Arch          string
	ContainerID   string
	// MaxBytes bounds the size of a checkpoint, which the sandbox chooses;
	// DefaultMaxBytes if 0. A larger one is ErrFull.
	MaxBytes int64
	// Limit bounds the store, if it isn't 0: a checkpoint that alone would take
	// more is ErrLimit. Which others go for its sake is the caller's decision.
	Limit int64
	// Compare makes Publish compare the checkpoint's pages with FileFull.
	Compare bool
}

func (o Options) maxBytes() int64 {
	if o.MaxBytes > 0 {
		return o.MaxBytes
	}
	return DefaultMaxBytes
}

// matches says in an error, which wraps ErrVersion, how m is another's.
func (o Options) matches(m checkpoint.Manifest) error {
	for _, f := range []struct{ what, got, want string }{
		{"gVisor version", m.GVisorVersion, o.GVisorVersion},
		{"architecture", m.Arch, o.Arch},
		{"container", m.ContainerID, o.ContainerID},
	} {
		if f.got != f.want {
			return fmt.Errorf("%w: %s %q, not %q", checkpoint.ErrVersion, f.what, f.got, f.want)
		}
	}
	return nil
}

// classify wraps an error of the operating system with the Store error that it
// amounts to, if any.
func classify(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT), errors.Is(err, unix.ENOMEM):
		return fmt.Errorf("%w: %w", checkpoint.ErrFull, err)
	case errors.Is(err, unix.EROFS):
		return fmt.Errorf("%w: %w", checkpoint.ErrReadOnly, err)
	}
	return err
}

// verify opens a checkpoint, reads its pages and keeps nothing of it.
func verify(ctx context.Context, s checkpoint.Store, seq checkpoint.Seq) error {
	img, err := s.Open(ctx, seq)
	if err != nil {
		return err
	}
	if err = img.(*image).verifyPages(ctx); err != nil {
		err = fmt.Errorf("verify checkpoint %d: %w", seq, err)
	}
	return errors.Join(err, img.Close())
}
