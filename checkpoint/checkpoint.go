// Package checkpoint is the vocabulary of checkpoints, and the contract of a
// store of them. Decisions about checkpoints, stores and the supervisor share
// it.
//
// The package owns names, manifests and the interfaces Store, Staging, Image and
// PageReader. Everything here is plain data and contracts; storetest is the
// conformance suite of the latter. The package has no locks and starts no
// goroutines.
//
// It must not know disks, clocks, gVisor or OCI bundles.
package checkpoint

import "time"

// Seq numbers the checkpoints of one container, from 1, in the order in which
// they were taken. A number is never used twice, not even after a rollback.
type Seq uint64

// Trigger is the reason why a checkpoint was taken.
type Trigger string

// The triggers.
const (
	TriggerInterval Trigger = "interval" // due by the container's spacing
	TriggerProgram  Trigger = "program"  // RECOVER_CHECKPOINT
	TriggerOperator Trigger = "operator" // checkpoint --into-store
)

// Asked reports whether the program or the operator asked for the checkpoint.
// They count on their work up to it being in there.
func (t Trigger) Asked() bool { return t == TriggerProgram || t == TriggerOperator }

// FileName names one of the files that make up a checkpoint's contents, or
// that pass between a store and the sandbox while it is taken.
type FileName string

// The files of a checkpoint, all of them required. Kernel and memory metadata
// are gVisor's own.
const (
	FileKernel    FileName = "checkpoint.img" // kernel object graph
	FilePagesMeta FileName = "pages_meta.img" // memory metadata
	FilePageIndex FileName = "pages.idx"      // addresses of the pages, see package pageindex
)

// FileNames lists every file of a checkpoint in the order of its manifest.
var FileNames = [...]FileName{FileKernel, FilePagesMeta, FilePageIndex}

// Files beside those of a checkpoint.
const (
	// FilePages is the page contents in an ordinary gVisor image.
	FilePages FileName = "pages.img"
	// FileStaged holds the pages that a sandbox hands out. The file is used
	// again and again, since memory touched before is the cheapest to copy into.
	FileStaged FileName = "pages.staged"
	// FileFull holds all of a checkpoint's pages, to prove that no change was
	// missed.
	FileFull FileName = "pages.full"
)

// ManifestVersion is the version of the manifest's format that this build
// writes. A store refuses any other with ErrVersion.
const ManifestVersion = 3

// FileInfo is a manifest's entry of one file.
type FileInfo struct {
	Name  FileName `json:"name"`
	Bytes int64    `json:"bytes"` // in the store
	// Contents is the size before compression, in bytes; 0 for a file that the
	// store keeps as it is.
	Contents int64 `json:"contents_bytes,omitempty"`
	// Hash is the file's XXH64 in lower-case hexadecimal, 16 digits. It finds
	// damage, not tampering: a checkpoint holds only contents that the sandbox
	// itself could have written.
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

// Pages is a manifest's account of a checkpoint's memory, in bytes.
type Pages struct {
	Bytes   int64 `json:"bytes"`         // all pages
	Changed int64 `json:"changed_bytes"` // pages that the parent doesn't have
	Stored  int64 `json:"stored_bytes"`  // room that the changed pages took in the store
	// Tracking is how the sandbox knew which pages had changed; empty when
	// nobody asked.
	Tracking string `json:"tracking,omitempty"`
}

// Manifest describes one published checkpoint. It is immutable once published.
type Manifest struct {
	Version int     `json:"version"`
	Seq     Seq     `json:"seq"`
	Parent  Seq     `json:"parent,omitempty"` // the checkpoint before it in the same lineage, 0 for none
	Trigger Trigger `json:"trigger"`
	// TakenAt is the wall clock when the program was stopped.
	TakenAt time.Time `json:"taken_at"`
	// RunTime is how long the program had run when the checkpoint was taken,
	// counted along the lineage that led here: a recovery sets it back.
	RunTime    time.Duration `json:"run_time_ns"`
	Generation int           `json:"generation"` // of the sandbox that was saved
	Cost       Cost          `json:"cost"`
	Files      []FileInfo    `json:"files"` // in the order of FileNames
	Pages      Pages         `json:"pages"`
	// The following identify the container that can be restored from the
	// checkpoint.
	GVisorVersion string `json:"gvisor_version"`
	Arch          string `json:"arch"`
	ContainerID   string `json:"container_id"`
	SpecDigest    string `json:"spec_digest"`
}

// Bytes is the room that the checkpoint added to the store.
func (m Manifest) Bytes() int64 {
	n := m.Pages.Stored
	for _, f := range m.Files {
		n += f.Bytes
	}
	return n
}

// Staged is the memory that taking the checkpoint took, in bytes.
func (m Manifest) Staged() int64 {
	n := m.Pages.Changed
	for _, f := range m.Files {
		n += max(f.Bytes, f.Contents)
	}
	return n
}
