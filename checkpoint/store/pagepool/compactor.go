package pagepool

import (
	"context"
	"sync"
)

// compactor compacts a pool in the background.
type compactor struct {
	pool   *Pool
	ctx    context.Context // ends with stop
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu     sync.Mutex // guards all below
	active bool       // a goroutine is at work
	again  bool       // the pool has changed since that goroutine looked
}

func newCompactor(p *Pool) *compactor {
	c := &compactor{pool: p}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// CompactSoon tells the pool that pages were added or released: a goroutine
// compacts as long as that is worth it. It returns at once, and does nothing
// after Close.
func (p *Pool) CompactSoon() { p.compactor.wake() }

func (c *compactor) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.again = true
	if c.active || c.ctx.Err() != nil {
		return
	}
	c.active = true
	c.work.Go(func() {
		for c.next() {
			// After an error the next change of the pool is waited for.
			for moved, err := true, error(nil); moved && err == nil; {
				moved, err = c.pool.compactOnce(c.ctx, false)
			}
		}
	})
}

// next reports whether the goroutine has to look at the pool once more. It ends
// otherwise.
func (c *compactor) next() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.active = c.again && c.ctx.Err() == nil
	c.again = false
	return c.active
}

// stop ends compaction and returns when the goroutine has ended.
func (c *compactor) stop() {
	c.mu.Lock()
	c.cancel()
	c.mu.Unlock()
	c.work.Wait()
}
