package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/memfile"
	"runsc-recover/checkpoint/store/pagepool"
)

var errEnded = errors.New("staging has ended")

// staging is a checkpoint being written. The sandbox writes to memory: no disk
// holds the program up.
type staging struct {
	catalog *catalog
	files   *stagingFiles
	parent  checkpoint.Seq
	lease   *pagepool.Lease // of the parent's pages
	// received are the kernel and the memory metadata. The index is missing.
	received files
	// commit gives the received files and the absorbed pages their place in the
	// store under the checkpoint's number, or returns an error and leaves
	// nothing that a reader could see. Publish was called at began.
	commit  func(ctx context.Context, m checkpoint.Manifest, a *absorbed, began time.Time) (checkpoint.Manifest, error)
	offered bool // Publish was called: the sandbox is done with the files
	ended   bool
}

// openReceived makes the files for kernel and memory metadata. It ends the
// staging when it fails.
func (st *staging) openReceived() error {
	for _, name := range []checkpoint.FileName{checkpoint.FileKernel, checkpoint.FilePagesMeta} {
		f, err := memfile.New(string(name))
		if err != nil {
			return errors.Join(err, st.end())
		}
		st.received.set(name, f)
	}
	return nil
}

// Parent implements checkpoint.Staging.
func (st *staging) Parent() checkpoint.Seq { return st.parent }

// File implements checkpoint.Staging.
func (st *staging) File(name checkpoint.FileName) *os.File {
	if f := st.files.get(name); f != nil {
		return f
	}
	return st.received.get(name)
}

// Publish implements checkpoint.Staging.
func (st *staging) Publish(ctx context.Context, m checkpoint.Manifest) (checkpoint.Manifest, error) {
	if st.ended {
		return m, errEnded
	}
	st.offered = true
	var done checkpoint.Manifest
	var err error
	st.catalog.thread.Do(func() { done, err = st.publish(ctx, m, time.Now()) })
	if err != nil {
		return m, fmt.Errorf("publish checkpoint %d: %w", m.Seq, classify(err))
	}
	st.catalog.keepSpare(st.files.takeSpare(done.Pages.Changed))
	// The checkpoint is published: an error of closing changes nothing.
	_ = st.end()
	return copyManifest(done), nil
}

func (st *staging) publish(ctx context.Context, m checkpoint.Manifest, began time.Time) (checkpoint.Manifest, error) {
	c := st.catalog
	if err := c.checkManifest(m); err != nil {
		return m, err
	}
	a, err := absorb(ctx, c.pool, st.files, st.lease.Index(), c.opts.maxBytes())
	if err != nil {
		return m, err
	}
	if m, err = st.commit(ctx, m, a, began); err != nil {
		return m, errors.Join(err, a.undo(c.pool))
	}
	// The checkpoint is published. Staged pages that its index doesn't list are
	// released; where their room can't be given back now, the next open does.
	_ = a.releaseAdded(c.pool)
	c.pool.CompactSoon()
	return m, nil
}

// complete fills in the manifest's Version, Files, Pages and Cost.Publish from
// the files as they are. The latter is the time since began; for a store on disk
// it includes writing the files, which comes before.
func complete(ctx context.Context, m checkpoint.Manifest, fs *files, pages checkpoint.Pages, o Options, began time.Time) (checkpoint.Manifest, error) {
	infos, err := fs.describe(ctx, o.maxBytes())
	if err != nil {
		return m, err
	}
	m.Version = checkpoint.ManifestVersion
	m.TakenAt = m.TakenAt.Round(0).UTC()
	m.Files = infos
	pages.Tracking = m.Pages.Tracking
	m.Pages = pages
	m.Cost.Publish = time.Since(began)
	return m, nil
}

// copyManifest returns a manifest that the caller may change.
func copyManifest(m checkpoint.Manifest) checkpoint.Manifest {
	m.Files = slices.Clone(m.Files)
	return m
}

// Discard implements checkpoint.Staging.
func (st *staging) Discard() error {
	if st.ended {
		return nil
	}
	return st.end()
}

// end closes the files and releases the parent's pages. Memory with which the
// sandbox is done is kept for the next staging.
func (st *staging) end() error {
	st.ended = true
	if st.offered && st.files.staged != nil {
		st.catalog.keepSpare(st.files.takeSpare(0))
	}
	return errors.Join(st.files.close(), st.received.close(), st.lease.Release())
}
