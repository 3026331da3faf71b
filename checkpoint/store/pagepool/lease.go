package pagepool

import (
	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/pageindex"
)

// Lease holds the pages of an index and keeps them readable, though the pool be
// closed meanwhile. All but Release is safe for concurrent use.
type Lease struct {
	pool     *Pool
	index    []pageindex.Run
	released bool
}

// Lease returns a lease of an index, which must not change and may be empty.
// The caller releases the lease. A lease of a pool whose files are closed isn't
// complete.
func (p *Pool) Lease(index []pageindex.Run) *Lease {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.holdLocked(index)
	p.leases++
	return &Lease{pool: p, index: index}
}

// Index is the index that the lease is of. The caller must not change it.
func (l *Lease) Index() []pageindex.Run { return l.index }

// Complete reports whether all pages of the index are in the pool.
func (l *Lease) Complete() bool { return l.pool.has(l.index) }

// Pages returns a reader of the pages in the order of the index. It may be used
// until Release, which doesn't wait for reads.
func (l *Lease) Pages() checkpoint.PageReader { return newPageReader(l.pool, l.index) }

// Release ends the lease. The second call does nothing. Errors are those of
// Pool.Release.
func (l *Lease) Release() error {
	if l.released {
		return nil
	}
	l.released = true
	p := l.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.releaseLocked(l.index)
	p.leases--
	p.closeFilesLocked()
	return err
}
