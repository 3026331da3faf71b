// Package store keeps the checkpoints of one container, in memory or on disk: it
// stages, publishes, verifies, lists and removes them.
//
// The package owns a store's directory and the files of checkpoints in it:
//
//	lock                     held with flock by the process that has the store open
//	00000000000000000007/    checkpoint 7
//	    manifest.json        see manifest.go
//	    checkpoint.img       gVisor's kernel, a packed file (package frame)
//	    pages_meta.img       and its memory metadata, likewise
//	    pages.idx            addresses of the pages (package pageindex)
//	pages-00000000000000000005   segment 5, the pool's (package pagepool)
//	.staging-1               a directory or a segment being written; removed at
//	                         the next open
//	.removed-7/              a checkpoint being removed; likewise
//
// Pages belong to no checkpoint; the pool keeps a page for as long as an index
// lists it. A segment is durable before an index that refers to it is published.
// In memory a checkpoint is three memfds, which can be reopened through
// /proc/self/fd. The README explains the design, with a figure.
//
// A checkpoint is published by fsync of its files, fsync of its directory,
// rename and fsync of the store's directory, and removed by rename first: no
// reader, and no open after a crash, meets half of one. Files have mode 0600,
// directories 0700, since checkpoints hold a program's secrets.
//
// The sandbox is hostile. It may hold the descriptors of staged files, and
// write to them, for ever: pages and index are copied before they count, kernel
// and metadata in memory are hashed, and Open finds a later change as damage.
// A disk may hold anything: manifests, indexes, segments and frames are bounded
// and validated when they are read.
//
// It must not know the contents of the files, nor which checkpoints are worth
// keeping.
//
// Locks, outermost first:
//
//	reopen.Store.mu               while a store is opened or closed
//	└─ catalog.mu                 checkpoints, indexes, spare memory; also while a
//	   │                          checkpoint's directory is renamed or removed
//	   └─ those of the pool       see package pagepool
//
// catalog.mu isn't held while files are read, copied, hashed or compressed.
//
// Goroutines: the thread of low priority on which checkpoints are published,
// from open to Close (package lowprio), and those of the pool.
package store

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"runsc-recover/checkpoint"
)

// ErrInUse: another process has the store open.
var ErrInUse = errors.New("checkpoint store is in use by another process")

// DefaultMaxBytes bounds a checkpoint when Options don't.
const DefaultMaxBytes = 1 << 38

// Options are the identity of the checkpoints that a store keeps, and its
// bounds. Checkpoints of another identity are refused with ErrVersion, by
// Publish and by Open.
type Options struct {
	GVisorVersion string
	Arch          string
	ContainerID   string
	// MaxBytes bounds the size of a checkpoint, which the sandbox chooses;
	// DefaultMaxBytes if 0. A larger one is ErrFull.
	MaxBytes int64
	// Limit bounds the store, if it isn't 0: a checkpoint that alone would take
	// more is ErrLimit. Removing others for its sake is the caller's decision.
	Limit int64
	// Compare makes Publish compare the checkpoint's pages with FileFull, to
	// find changes of memory that the sandbox missed.
	Compare bool
}

func (o Options) maxBytes() int64 {
	if o.MaxBytes > 0 {
		return o.MaxBytes
	}
	return DefaultMaxBytes
}

// matches compares a manifest with the identity. Errors: ErrVersion.
func (o Options) matches(m checkpoint.Manifest) error {
	for _, f := range []struct{ name, got, want string }{
		{"gVisor version", m.GVisorVersion, o.GVisorVersion},
		{"architecture", m.Arch, o.Arch},
		{"container", m.ContainerID, o.ContainerID},
	} {
		if f.got != f.want {
			return fmt.Errorf("%w: %s %q, not %q", checkpoint.ErrVersion, f.name, f.got, f.want)
		}
	}
	return nil
}

// classify wraps an error of the operating system with the Store error of the
// same meaning, if any.
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
