package checkpoint

import (
	"context"
	"errors"
	"io"
	"os"
)

// Errors of every Store. They are wrapped; test with errors.Is. Errors of the
// operating system that none of them fits are returned as they are.
var (
	ErrNotFound = errors.New("no such checkpoint")
	ErrDamaged  = errors.New("checkpoint is damaged")
	ErrVersion  = errors.New("checkpoint has another format version")
	ErrFull     = errors.New("no room for a checkpoint")
	ErrReadOnly = errors.New("checkpoint store is read-only")
	ErrLimit    = errors.New("checkpoint is larger than the store may be")
	ErrClosed   = errors.New("checkpoint store is closed")
	// ErrMissed: a change of memory isn't in the checkpoint. It is a fault of
	// runsc-recover, found by comparing all of memory.
	ErrMissed = errors.New("checkpoint misses a change of memory")
)

// Usage is the size of a store, in bytes, without the memory of stagings.
type Usage struct {
	Bytes int64 // taken in memory or in the file system
	Live  int64 // of these, needed by published checkpoints; about
}

// Store keeps the checkpoints of one container.
//
// Concurrency: all methods may be called at once, also while stagings and
// images are in use. Of two stagings that publish at once, the one with the
// lower number may be refused.
//
// Durability: a published checkpoint lasts as long as the implementation says,
// and so does a removal. A call that ends with an error, or a crash within it,
// leaves each checkpoint whole or absent.
//
// Every call on a closed store returns ErrClosed but Close. Stage, Open, Verify
// and Compact, and Publish of a staging, end with ctx's error when ctx is done
// before their next chunk of data; the others are short and don't look at ctx.
type Store interface {
	// Stage opens a staging area for a new checkpoint that may refer to the
	// pages of parent, 0 for none. Those pages stay until the staging ends,
	// though the parent be removed. Nothing of the staging is visible to readers
	// before Publish. The caller ends the staging. Errors: ErrFull, ErrReadOnly,
	// ErrClosed.
	Stage(ctx context.Context, parent Seq) (Staging, error)

	// List returns the manifests of all published checkpoints, by ascending
	// Seq, without verifying files or pages. A checkpoint whose manifest can't
	// be read is in bad with the reason (ErrDamaged, ErrVersion), under the
	// number that its place in the store gives it. The caller owns the result.
	// Errors: ErrClosed.
	List(ctx context.Context) (good []Manifest, bad map[Seq]error, err error)

	// Open verifies a checkpoint's files (sizes, hashes, versions) and opens
	// them for reading. Its pages are there, and are verified when they are
	// read. The caller closes the image, which outlives the checkpoint's
	// removal and the store's Close. Errors: ErrNotFound, ErrDamaged,
	// ErrVersion, ErrClosed.
	Open(ctx context.Context, seq Seq) (Image, error)

	// Verify does all that Open does, reads all pages and keeps nothing open.
	// Errors: those of Open.
	Verify(ctx context.Context, seq Seq) error

	// Remove deletes a checkpoint, be it damaged. Pages that others list, or
	// that open images read, stay. Errors: ErrNotFound, ErrReadOnly, ErrClosed.
	Remove(ctx context.Context, seq Seq) error

	// Usage measures the store. Errors: ErrClosed.
	Usage(ctx context.Context) (Usage, error)

	// Compact gives back the room that no checkpoint needs, as far as that can
	// be done, and memory that was kept for the next staging. The store does so
	// by itself too, less thoroughly. Errors: ErrFull, ErrReadOnly, ErrDamaged,
	// ErrClosed.
	Compact(ctx context.Context) error

	// Close releases all that the store holds in this process, but for open
	// images and stagings. A second call does nothing.
	Close() error
}

// Staging is a checkpoint being written. It is used by one goroutine at a time.
// It ends with a Publish that succeeds, or with Discard; Discard after either
// does nothing, so that it can be deferred.
type Staging interface {
	// Parent is the checkpoint whose pages the new one may refer to: the one
	// that Stage was asked for, or 0 where the store doesn't have it.
	Parent() Seq

	// File returns the file of that name, open for reading and writing and
	// positioned at its start, or nil where there is none. All are empty but
	// FileStaged and FileFull, whose contents are undefined: the writer of
	// FileFull cuts it to its size. FileFull is nil unless the store compares
	// all of memory. The staging keeps ownership; the descriptor may be
	// duplicated into a sandbox, which may write to it for ever.
	File(name FileName) *os.File

	// Publish completes the manifest (Version, Files, Pages but for Tracking,
	// Cost.Publish), makes the checkpoint visible and durable and returns the
	// manifest as published, which the caller owns. m.Seq must be larger than
	// any published before. Publish is atomic: after an error, or a crash at any
	// point, readers see nothing of the checkpoint. It may be called again when
	// the manifest was refused: for its number, or with ErrVersion. The sandbox
	// must be done with FileStaged and FileFull. Errors: ErrFull, ErrLimit,
	// ErrReadOnly, ErrClosed, ErrVersion, ErrDamaged when the sandbox's index
	// makes no sense, ErrMissed.
	Publish(ctx context.Context, m Manifest) (Manifest, error)

	// Discard ends the staging without a checkpoint. An error says that
	// something of it is left, which the store's next open removes.
	Discard() error
}

// Image is a checkpoint opened for reading. All but Close is safe for
// concurrent use; positions of files are shared by their users.
type Image interface {
	// Manifest is the checkpoint's. The caller must not change it.
	Manifest() Manifest
	// File returns the named file, positioned at its start, open for reading;
	// nil for a file that isn't there. The Image keeps ownership.
	File(name FileName) *os.File
	// Pages are the contents of gVisor's pages file. They are read where the
	// store keeps them, and may be read until Close, which doesn't wait for
	// reads.
	Pages() PageReader
	// Close ends the use of files and pages. A second call does nothing.
	Close() error
}

// PageReader reads the pages of a checkpoint. It is safe for concurrent use.
type PageReader interface {
	// ReadAt reads bytes as they are kept. It needn't find damage.
	io.ReaderAt
	// Size is the size of all pages, in bytes.
	Size() int64
	// ReadPages fills b with len(sums) pages, from the page first on, and sums
	// with their XXH64. After an error the contents of b must not be used.
	// Errors: ErrDamaged, also for pages beyond the last.
	ReadPages(b []byte, first uint64, sums []uint64) error
}
