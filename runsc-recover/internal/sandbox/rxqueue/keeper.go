package rxqueue

import "sync"

// Keeper keeps the queues of the sandbox of a container that died last, until a
// copy takes them. The zero Keeper is ready for use, and its methods are safe
// for concurrent use.
type Keeper struct {
	mu     sync.Mutex
	queues *Queues // guarded by mu; nil for none
}

// Keep takes ownership of q. Queues that were kept before are closed.
func (k *Keeper) Keep(q *Queues) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.queues.Close()
	k.queues = q
}

// Take gives ownership of the kept queues to the caller; nil when there are
// none.
func (k *Keeper) Take() *Queues {
	k.mu.Lock()
	defer k.mu.Unlock()
	q := k.queues
	k.queues = nil
	return q
}

// Drop closes the kept queues: their frames were delivered, or never will be.
func (k *Keeper) Drop() { k.Take().Close() }
