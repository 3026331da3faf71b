// Package checkpoint is the vocabulary that the store, the policies and the
// supervisor share: what a checkpoint is called, what its manifest says, and
// what a store of them must do.
//
// It must not know disks, clocks, gVisor or OCI bundles: everything here is
// plain data and one interface.
package checkpoint

import (
	"context"
	"errors"
	"io"
	"os"
	"time"
)

// Seq numbers the checkpoints of one container, from 1, in the order in which
// they were taken. A number is never used twice, not even after a rollback.
type Seq uint64

// Trigger says why a checkpoint was taken.
type Trigger string

// The triggers.
const (
	TriggerInterval Trigger = "interval" // the container's spacing said so
	TriggerProgram  Trigger = "program"  // RECOVER_CHECKPOINT
	TriggerOperator Trigger = "operator" // checkpoint --into-store
)

// Asked reports whether the program or the operator asked for the checkpoint:
// they count on what they did before it.
func (t Trigger) Asked() bool { return t == TriggerProgram || t == TriggerOperator }

// FileName names one of the files that make up a checkpoint's contents, or
// that pass between a store and the sandbox while it is taken.
type FileName string

// The files of a checkpoint, all of them required. Kernel and memory metadata
// are gVisor's own.
const (
	FileKernel    FileName = "checkpoint.img" // kernel object graph
	FilePagesMeta FileName = "pages_meta.img" // memory metadata
	FilePageIndex FileName = "pages.idx"      // where the pages are, see package pageindex
)

// FileNames lists every file of a checkpoint in the order of its manifest.
var FileNames = [...]FileName{FileKernel, FilePagesMeta, FilePageIndex}

// Files beside those of a checkpoint.
const (
	// FilePages is the page contents in an ordinary gVisor image.
	FilePages FileName = "pages.img"
	// FileStaged holds the pages that a sandbox hands out. It is used again
	// and again, since memory touched before is the cheapest to copy into.
	FileStaged FileName = "pages.staged"
	// FileFull holds all of a checkpoint's pages, to prove that none was
	// missed.
	FileFull FileName = "pages.full"
)

// ManifestVersion is the version of the manifest's format that this build
// writes. A store refuses any other with ErrVersion.
const ManifestVersion = 3

// FileInfo is what a manifest says of one file.
type FileInfo struct {
	Name  FileName `json:"name"`
	Bytes int64    `json:"bytes"` // in the store
	// Contents is how many bytes a file holds that the store compresses; 0
	// for one that is kept as it is.
	Contents int64 `json:"contents_bytes,omitempty"`
	// Hash is the file's XXH64 in lower-case hexadecimal, 16 digits. It finds
	// damage, not tampering: a checkpoint holds only what the sandbox itself
	// could have written.
	Hash string `json:"hash"`
}

// Cost is the time, in nanoseconds of the host's monotonic clock, that a
// checkpoint took. Stop, Kernel and Copy add up to the program's pause.
type Cost struct {
	Stop    time.Duration `json:"stop_ns"`    // until every task had stopped
	Kernel  time.Duration `json:"kernel_ns"`  // kernel object graph
	Copy    time.Duration `json:"copy_ns"`    // memory
	Publish time.Duration `json:"publish_ns"` // hashing and disk, while the program runs
}

// Pause is how long the program stood still.
func (c Cost) Pause() time.Duration { return c.Stop + c.Kernel + c.Copy }

// Pages is what a manifest says of a checkpoint's memory.
type Pages struct {
	Bytes   int64 `json:"bytes"`         // all of it
	Changed int64 `json:"changed_bytes"` // not in the parent as it is
	Stored  int64 `json:"stored_bytes"`  // what it took in the store
	// Tracking is how the sandbox knew what had changed; empty when nobody
	// asked.
	Tracking string `json:"tracking,omitempty"`
}

// Manifest describes one published checkpoint. It is immutable once published.
type Manifest struct {
	Version int     `json:"version"`
	Seq     Seq     `json:"seq"`
	Parent  Seq     `json:"parent,omitempty"` // the checkpoint before it on the same line of history, 0 for none
	Trigger Trigger `json:"trigger"`
	// TakenAt is the wall clock when the program was stopped.
	TakenAt time.Time `json:"taken_at"`
	// RunTime is how long the program had run when it was taken, counted along
	// the line of history that led here: a rollback sets it back.
	RunTime       time.Duration `json:"run_time_ns"`
	Generation    int           `json:"generation"`
	Cost          Cost          `json:"cost"`
	Files         []FileInfo    `json:"files"`
	Pages         Pages         `json:"pages"`
	GVisorVersion string        `json:"gvisor_version"`
	Arch          string        `json:"arch"`
	ContainerID   string        `json:"container_id"`
	SpecDigest    string        `json:"spec_digest"`
}

// Bytes is what the checkpoint added to the store.
func (m Manifest) Bytes() int64 {
	n := m.Pages.Stored
	for _, f := range m.Files {
		n += f.Bytes
	}
	return n
}

// Staged is how much memory it took to take the checkpoint.
func (m Manifest) Staged() int64 {
	n := m.Pages.Changed
	for _, f := range m.Files {
		n += max(f.Bytes, f.Contents)
	}
	return n
}

// Errors of every Store. They are wrapped; test with errors.Is.
var (
	ErrNotFound = errors.New("no such checkpoint")
	ErrDamaged  = errors.New("checkpoint is damaged")
	ErrVersion  = errors.New("checkpoint has another format version")
	ErrFull     = errors.New("no room for a checkpoint")
	ErrReadOnly = errors.New("checkpoint store is read-only")
	ErrLimit    = errors.New("checkpoint is larger than the store may be")
	ErrClosed   = errors.New("checkpoint store is closed")
	// ErrMissed: a change of memory isn't in the checkpoint. It is our fault,
	// found by comparing all of memory.
	ErrMissed = errors.New("checkpoint misses a change of memory")
)

// Usage is the size of a store, in bytes, without what is being staged.
type Usage struct {
	Bytes int64 // that it takes, in memory or in its file system
	Live  int64 // of these, what its checkpoints need; about
}

// Store keeps the checkpoints of one container. Implementations are safe for
// concurrent use.
type Store interface {
	// Stage opens a staging area for a new checkpoint that may refer to the
	// pages of parent, 0 for none. Nothing of it is visible to readers before
	// Publish. Errors: ErrFull, ErrReadOnly, ErrClosed.
	Stage(ctx context.Context, parent Seq) (Staging, error)

	// List returns the manifests of all published checkpoints, by ascending
	// Seq. It doesn't verify contents. A checkpoint whose manifest can't be
	// read is listed in bad with the reason, by the number its place in the
	// store gives it.
	List(ctx context.Context) (good []Manifest, bad map[Seq]error, err error)

	// Open verifies a checkpoint's files (sizes, hashes, versions) and opens
	// them for reading. Its pages are there, and are verified when they are
	// read. Errors: ErrNotFound, ErrDamaged, ErrVersion, ErrClosed.
	Open(ctx context.Context, seq Seq) (Image, error)

	// Verify does what Open does, reads all pages and keeps nothing open.
	Verify(ctx context.Context, seq Seq) error

	// Remove deletes a checkpoint. An Image that is open stays readable.
	// Errors: ErrNotFound, ErrReadOnly, ErrClosed.
	Remove(ctx context.Context, seq Seq) error

	// Usage says how large the store is.
	Usage(ctx context.Context) (Usage, error)

	// Compact gives back what no checkpoint needs, as far as that can be done,
	// and memory that was kept for the next staging.
	// The store does so by itself too, less thoroughly. Errors: ErrFull,
	// ErrReadOnly, ErrClosed.
	Compact(ctx context.Context) error

	// Close releases what the store holds in this process. What survives it
	// is the implementation's durability.
	Close() error
}

// Staging is a checkpoint being written. It is used by one goroutine. It ends
// with exactly one of Publish and Discard; Discard after Publish does nothing,
// so that it can be deferred.
type Staging interface {
	// Parent is the checkpoint whose pages the new one may refer to. It is the
	// one that Stage was asked for, or 0 where the store doesn't have that.
	Parent() Seq

	// File returns the file of that name, open for reading and writing and
	// positioned at its start. All are empty but FileStaged and FileFull,
	// whose contents are nobody's: what is written to FileFull must be cut to
	// its size. FileFull is nil unless the store compares all of memory.
	// The staging keeps ownership; the descriptor may be duplicated into a
	// sandbox.
	File(name FileName) *os.File

	// Publish completes the manifest (Version, Files, Pages but for Tracking,
	// Cost.Publish), makes the checkpoint visible and returns the manifest as
	// published. m.Seq must be larger than any published before. It is atomic:
	// after an error, or a crash at any point, readers see nothing of it. It
	// may be called again when the manifest was refused: for its number, or
	// with ErrVersion.
	// Errors: ErrFull, ErrLimit, ErrReadOnly, ErrClosed, ErrDamaged when the
	// sandbox's index makes no sense, ErrMissed.
	Publish(ctx context.Context, m Manifest) (Manifest, error)

	// Discard removes the staging area.
	Discard() error
}

// Image is a checkpoint opened for reading.
type Image interface {
	Manifest() Manifest
	// File returns the named file, positioned at its start, open for reading;
	// nil for one that isn't there. The Image keeps ownership.
	File(name FileName) *os.File
	// Pages are the contents of gVisor's pages file. They are read where they
	// are kept, and may be until Close, which doesn't wait for reads.
	Pages() PageReader
	Close() error
}

// PageReader reads the pages of a checkpoint. It is safe for concurrent use.
type PageReader interface {
	// ReadAt reads what is there, damaged or not.
	io.ReaderAt
	Size() int64
	// ReadPages fills b with len(sums) pages, from the page first on, and sums
	// with their XXH64. After an error nothing in b may be used. Errors:
	// ErrDamaged, also for pages beyond the last.
	ReadPages(b []byte, first uint64, sums []uint64) error
}
