package store

import (
	"context"
	"fmt"
	"sync"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/pageindex"
	"runsc-recover/checkpoint/store/lowprio"
	"runsc-recover/checkpoint/store/pagepool"
)

// catalog is the part that both stores have in common: the published
// checkpoints with the pages and the room that they take, and the memory that
// is kept for the next staging.
type catalog struct {
	opts   Options
	pool   *pagepool.Pool
	thread *lowprio.Thread // for publishing; compaction has another, so that neither waits

	mu     sync.Mutex // guards all below
	closed bool
	last   checkpoint.Seq // highest number published, as far as is known
	// indexes are those of the published checkpoints. Their pages are held.
	indexes map[checkpoint.Seq][]pageindex.Run
	// sizes are the bytes that each published checkpoint takes beside its pages.
	sizes map[checkpoint.Seq]int64
	spare spareMemory
}

func newCatalog(opts Options) catalog {
	return catalog{opts: opts, indexes: make(map[checkpoint.Seq][]pageindex.Run), sizes: make(map[checkpoint.Seq]int64)}
}

func (c *catalog) checkOpen() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.checkOpenLocked()
}

func (c *catalog) checkOpenLocked() error {
	if c.closed {
		return checkpoint.ErrClosed
	}
	return nil
}

// stage begins a checkpoint over the parent, if the parent is published. The
// caller sets commit.
func (c *catalog) stage(parent checkpoint.Seq) (*staging, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.checkOpenLocked(); err != nil {
		return nil, err
	}
	index, ok := c.indexes[parent]
	if !ok {
		parent = 0
	}
	files, err := newStagingFiles(&c.spare, c.opts.Compare, parent == 0)
	if err != nil {
		return nil, err
	}
	return &staging{catalog: c, files: files, parent: parent, lease: c.pool.Lease(index)}, nil
}

// keepSpare keeps memory for the next staging, unless there is some.
func (c *catalog) keepSpare(used spareMemory) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.spare.staged != nil {
		used.discard()
		return
	}
	c.spare = used
}

// discardSpare gives back the memory that was kept for the next staging.
func (c *catalog) discardSpare() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.checkOpenLocked(); err != nil {
		return err
	}
	c.spare.discard()
	return nil
}

// checkManifest refuses a manifest before anything is written for it: that of
// another container or version, or one whose number doesn't rise.
func (c *catalog) checkManifest(m checkpoint.Manifest) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.checkNextLocked(m.Seq); err != nil {
		return err
	}
	if err := c.opts.matches(m); err != nil {
		return fmt.Errorf("complete the manifest: %w", err)
	}
	return nil
}

// checkNextLocked refuses a number that doesn't rise.
func (c *catalog) checkNextLocked(seq checkpoint.Seq) error {
	if err := c.checkOpenLocked(); err != nil {
		return err
	}
	if seq <= c.last {
		return fmt.Errorf("publish checkpoint %d: %d was published before", seq, c.last)
	}
	return nil
}

// checkLimit refuses a checkpoint that alone is larger than the store may be.
func (c *catalog) checkLimit(m checkpoint.Manifest, index []pageindex.Run) error {
	bytes := sizeBesidePages(m) + c.pool.Bytes(index)
	if c.opts.Limit > 0 && bytes > c.opts.Limit {
		return fmt.Errorf("%w: %d MiB, the limit is %d MiB", checkpoint.ErrLimit, bytes>>20, c.opts.Limit>>20)
	}
	return nil
}

// sizeBesidePages is the bytes that a checkpoint takes beside its pages.
func sizeBesidePages(m checkpoint.Manifest) int64 { return m.Bytes() - m.Pages.Stored }

// enterLocked enters a published checkpoint. The catalog takes over the hold on
// its pages.
func (c *catalog) enterLocked(m checkpoint.Manifest, index []pageindex.Run) {
	c.last = m.Seq
	c.indexes[m.Seq] = index
	c.sizes[m.Seq] = sizeBesidePages(m)
}

// forgetLocked forgets a removed checkpoint and releases its pages. Errors are
// those of Pool.Release.
func (c *catalog) forgetLocked(seq checkpoint.Seq) error {
	err := c.pool.Release(c.indexes[seq])
	delete(c.indexes, seq)
	delete(c.sizes, seq)
	c.pool.CompactSoon()
	return err
}

// Usage implements checkpoint.Store.
func (c *catalog) Usage(context.Context) (checkpoint.Usage, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.checkOpenLocked(); err != nil {
		return checkpoint.Usage{}, err
	}
	u := c.pool.Usage()
	for _, n := range c.sizes {
		u.Bytes, u.Live = u.Bytes+n, u.Live+n
	}
	return u, nil
}
