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

// catalog is what both stores know of their checkpoints and do alike with them:
// which there are, what they take, and which memory serves the next exchange.
type catalog struct {
	opts Options
	pool *pagepool.Pool
	// Publishing is done on aside, until Close.
	thread *lowprio.Thread

	mu     sync.Mutex // guards all below
	closed bool
	last   checkpoint.Seq // highest number published, as far as is known
	// indexes are those of the checkpoints that are published, whose pages are
	// held, and bytes what they take beside them.
	indexes map[checkpoint.Seq][]pageindex.Run
	bytes   map[checkpoint.Seq]int64
	spare   spareMemory
}

func newCatalog(opts Options) catalog {
	return catalog{opts: opts, indexes: make(map[checkpoint.Seq][]pageindex.Run), bytes: make(map[checkpoint.Seq]int64)}
}

func (l *catalog) checkOpen() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.checkOpenLocked()
}

func (l *catalog) checkOpenLocked() error {
	if l.closed {
		return checkpoint.ErrClosed
	}
	return nil
}

// exchange begins an exchange over the parent, if that is there.
func (l *catalog) openFiles(parent checkpoint.Seq) (*stagingFiles, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.checkOpenLocked(); err != nil {
		return nil, err
	}
	x, err := newStagingFiles(&l.spare, l.opts.Compare)
	if err != nil {
		return nil, err
	}
	if index, ok := l.indexes[parent]; ok {
		x.parentSeq, x.parent = parent, index
	}
	l.pool.Use(x.parent)
	return x, nil
}

// reuse keeps memory for the next exchange.
func (l *catalog) reuse(used spareMemory) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.spare.staged != nil {
		used.close()
		return
	}
	l.spare = used
}

// mayPublish refuses a manifest before anything is done for it: another's, or
// one whose number doesn't rise.
func (l *catalog) mayPublish(m checkpoint.Manifest) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.checkNextLocked(m.Seq); err != nil {
		return err
	}
	if err := l.opts.matches(m); err != nil {
		return fmt.Errorf("complete the manifest: %w", err)
	}
	return nil
}

// checkNextLocked: numbers only rise.
func (l *catalog) checkNextLocked(seq checkpoint.Seq) error {
	if err := l.checkOpenLocked(); err != nil {
		return err
	}
	if seq <= l.last {
		return fmt.Errorf("publish checkpoint %d: %d was published before", seq, l.last)
	}
	return nil
}

// checkLimit refuses a checkpoint that alone is larger than the store may be.
func (l *catalog) checkLimit(m checkpoint.Manifest, index []pageindex.Run) error {
	bytes := beside(m) + l.pool.Bytes(index)
	if l.opts.Limit > 0 && bytes > l.opts.Limit {
		return fmt.Errorf("%w: %d MiB, the limit is %d MiB", checkpoint.ErrLimit, bytes>>20, l.opts.Limit>>20)
	}
	return nil
}

// beside is what a checkpoint takes beside its pages.
func beside(m checkpoint.Manifest) int64 { return m.Bytes() - m.Pages.Stored }

// enterLocked notes a checkpoint that is published. It takes over the hold on
// its pages.
func (l *catalog) enterLocked(m checkpoint.Manifest, index []pageindex.Run) {
	l.last = m.Seq
	l.indexes[m.Seq] = index
	l.bytes[m.Seq] = beside(m)
}

// forgetLocked gives back the pages of a checkpoint that is gone.
func (l *catalog) forgetLocked(seq checkpoint.Seq) error {
	err := l.pool.Release(l.indexes[seq])
	delete(l.indexes, seq)
	delete(l.bytes, seq)
	l.pool.CompactSoon()
	return err
}

// Usage implements checkpoint.Store.
func (l *catalog) Usage(context.Context) (checkpoint.Usage, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.checkOpenLocked(); err != nil {
		return checkpoint.Usage{}, err
	}
	u := l.pool.Usage()
	for _, n := range l.bytes {
		u.Bytes, u.Live = u.Bytes+n, u.Live+n
	}
	return u, nil
}
