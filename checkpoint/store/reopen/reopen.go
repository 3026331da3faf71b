// Package reopen is a store whose directory may not be usable yet: each call
// tries to open the directory until a call succeeds.
//
// It must not know the kind of store that it opens. Locks: Store.mu, held while
// the store is opened, outside all locks of that store. The package starts no
// goroutines.
package reopen

import (
	"context"
	"sync"

	"runsc-recover/checkpoint"
)

// Store is a checkpoint.Store whose directory may be full, read-only or not
// mounted yet. Each call that finds no open store tries to open it, so that
// checkpointing begins when it can. It is safe for concurrent use.
type Store struct {
	open func() (checkpoint.Store, error)

	mu     sync.Mutex       // guards all below
	store  checkpoint.Store // nil until open has succeeded
	closed bool
}

var _ checkpoint.Store = (*Store)(nil)

// New returns a store that open opens. open is called once at a time, until a
// call succeeds; its error is that of the store's method. Close closes the store
// that was opened.
func New(open func() (checkpoint.Store, error)) *Store {
	return &Store{open: open}
}

// get returns the open store. Errors: ErrClosed, those of open.
func (s *Store) get() (checkpoint.Store, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, checkpoint.ErrClosed
	}
	if s.store != nil {
		return s.store, nil
	}
	store, err := s.open()
	if err != nil {
		return nil, err
	}
	s.store = store
	return store, nil
}

// Stage implements checkpoint.Store.
func (s *Store) Stage(ctx context.Context, parent checkpoint.Seq) (checkpoint.Staging, error) {
	store, err := s.get()
	if err != nil {
		return nil, err
	}
	return store.Stage(ctx, parent)
}

// List implements checkpoint.Store.
func (s *Store) List(ctx context.Context) ([]checkpoint.Manifest, map[checkpoint.Seq]error, error) {
	store, err := s.get()
	if err != nil {
		return nil, nil, err
	}
	return store.List(ctx)
}

// Open implements checkpoint.Store.
func (s *Store) Open(ctx context.Context, seq checkpoint.Seq) (checkpoint.Image, error) {
	store, err := s.get()
	if err != nil {
		return nil, err
	}
	return store.Open(ctx, seq)
}

// Verify implements checkpoint.Store.
func (s *Store) Verify(ctx context.Context, seq checkpoint.Seq) error {
	store, err := s.get()
	if err != nil {
		return err
	}
	return store.Verify(ctx, seq)
}

// Remove implements checkpoint.Store.
func (s *Store) Remove(ctx context.Context, seq checkpoint.Seq) error {
	store, err := s.get()
	if err != nil {
		return err
	}
	return store.Remove(ctx, seq)
}

// Usage implements checkpoint.Store.
func (s *Store) Usage(ctx context.Context) (checkpoint.Usage, error) {
	store, err := s.get()
	if err != nil {
		return checkpoint.Usage{}, err
	}
	return store.Usage(ctx)
}

// Compact implements checkpoint.Store.
func (s *Store) Compact(ctx context.Context) error {
	store, err := s.get()
	if err != nil {
		return err
	}
	return store.Compact(ctx)
}

// Close implements checkpoint.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.store == nil {
		return nil
	}
	return s.store.Close()
}
