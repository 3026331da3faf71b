// Package reopen is a store whose directory may not be usable yet: each call
// tries to open it until one succeeds.
//
// It must not know which store it opens. Locks: one, held while the store is
// opened.
package reopen

import (
	"context"
	"sync"

	"runsc-recover/checkpoint"
)

// reopeningStore is a store whose place may not be there yet: a directory that
// is full, read-only or not mounted. Each call that finds it closed tries to
// open it, so that checkpointing begins when it can.
type reopeningStore struct {
	open func() (checkpoint.Store, error)

	mu     sync.Mutex
	store  checkpoint.Store // nil until open has succeeded
	closed bool
}

func New(open func() (checkpoint.Store, error)) *reopeningStore {
	return &reopeningStore{open: open}
}

func (s *reopeningStore) get() (checkpoint.Store, error) {
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
func (s *reopeningStore) Stage(ctx context.Context, parent checkpoint.Seq) (checkpoint.Staging, error) {
	store, err := s.get()
	if err != nil {
		return nil, err
	}
	return store.Stage(ctx, parent)
}

// List implements checkpoint.Store.
func (s *reopeningStore) List(ctx context.Context) ([]checkpoint.Manifest, map[checkpoint.Seq]error, error) {
	store, err := s.get()
	if err != nil {
		return nil, nil, err
	}
	return store.List(ctx)
}

// Open implements checkpoint.Store.
func (s *reopeningStore) Open(ctx context.Context, seq checkpoint.Seq) (checkpoint.Image, error) {
	store, err := s.get()
	if err != nil {
		return nil, err
	}
	return store.Open(ctx, seq)
}

// Verify implements checkpoint.Store.
func (s *reopeningStore) Verify(ctx context.Context, seq checkpoint.Seq) error {
	store, err := s.get()
	if err != nil {
		return err
	}
	return store.Verify(ctx, seq)
}

// Remove implements checkpoint.Store.
func (s *reopeningStore) Remove(ctx context.Context, seq checkpoint.Seq) error {
	store, err := s.get()
	if err != nil {
		return err
	}
	return store.Remove(ctx, seq)
}

// Usage implements checkpoint.Store.
func (s *reopeningStore) Usage(ctx context.Context) (checkpoint.Usage, error) {
	store, err := s.get()
	if err != nil {
		return checkpoint.Usage{}, err
	}
	return store.Usage(ctx)
}

// Compact implements checkpoint.Store.
func (s *reopeningStore) Compact(ctx context.Context) error {
	store, err := s.get()
	if err != nil {
		return err
	}
	return store.Compact(ctx)
}

// Close implements checkpoint.Store.
func (s *reopeningStore) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.store == nil {
		return nil
	}
	return s.store.Close()
}
