package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/memfile"
	"runsc-recover/checkpoint/store/lowprio"
	"runsc-recover/checkpoint/store/pagepool"
)

// Memory keeps checkpoints in memfds of this process. They survive the
// sandbox's death and nothing else.
type Memory struct {
	catalog
	// held are the checkpoints that are published. The ledger's lock guards it.
	held map[checkpoint.Seq]memoryCheckpoint
}

type memoryCheckpoint struct {
	manifest checkpoint.Manifest
	files    files
}

var _ checkpoint.Store = (*Memory)(nil)

// NewMemory returns an empty store.
func NewMemory(opts Options) *Memory {
	s := &Memory{catalog: newCatalog(opts), held: make(map[checkpoint.Seq]memoryCheckpoint)}
	s.pool = pagepool.NewMemory()
	s.thread = lowprio.New()
	return s
}

// Stage implements checkpoint.Store.
func (s *Memory) Stage(ctx context.Context, parent checkpoint.Seq) (checkpoint.Staging, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	st, err := s.stage(parent)
	if err != nil {
		return nil, classify(err)
	}
	st.commit = memoryStaging{st, s}.commitToMemory
	return st, nil
}

// memoryStaging is a checkpoint being written to memfds, which are its own
// until they are published.
type memoryStaging struct {
	*staging
	store *Memory
}

// commitToMemory makes the staging's files the checkpoint's.
func (st memoryStaging) commitToMemory(ctx context.Context, m checkpoint.Manifest, a *absorbed, began time.Time) (checkpoint.Manifest, error) {
	s := st.store
	index, err := memfile.New(string(checkpoint.FilePageIndex))
	if err != nil {
		return m, err
	}
	st.received.set(checkpoint.FilePageIndex, index)
	if err := writeIndex(index, a.index); err != nil {
		return m, err
	}
	if m, err = complete(ctx, m, &st.received, a.pages, s.opts, began); err != nil {
		return m, err
	}
	if err := s.checkLimit(m, a.index); err != nil {
		return m, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.checkNextLocked(m.Seq); err != nil {
		return m, err
	}
	s.enterLocked(m, a.index)
	s.held[m.Seq] = memoryCheckpoint{m, st.received}
	st.received = files{}
	return m, nil
}

// List implements checkpoint.Store.
func (s *Memory) List(ctx context.Context) ([]checkpoint.Manifest, map[checkpoint.Seq]error, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.checkOpenLocked(); err != nil {
		return nil, nil, err
	}
	var out []checkpoint.Manifest
	for _, seq := range slices.Sorted(maps.Keys(s.held)) {
		out = append(out, copyManifest(s.held[seq].manifest))
	}
	return out, nil, nil
}

// Open implements checkpoint.Store.
func (s *Memory) Open(ctx context.Context, seq checkpoint.Seq) (checkpoint.Image, error) {
	img, err := s.reopen(seq)
	if err == nil {
		err = img.verify(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("open checkpoint %d: %w", seq, err)
	}
	return img, nil
}

// reopen returns an image with descriptors, and positions, of its own.
func (s *Memory) reopen(seq checkpoint.Seq) (*image, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	held, err := s.lookupLocked(seq)
	if err != nil {
		return nil, err
	}
	fs, err := openFiles(func(name checkpoint.FileName) (*os.File, error) {
		return memfile.Reopen(held.files.get(name))
	})
	if err != nil {
		return nil, err
	}
	return newImage(copyManifest(held.manifest), fs, s.pool, s.indexes[seq]), nil
}

func (s *Memory) lookupLocked(seq checkpoint.Seq) (memoryCheckpoint, error) {
	if err := s.checkOpenLocked(); err != nil {
		return memoryCheckpoint{}, err
	}
	held, ok := s.held[seq]
	if !ok {
		return held, checkpoint.ErrNotFound
	}
	return held, nil
}

// Verify implements checkpoint.Store.
func (s *Memory) Verify(ctx context.Context, seq checkpoint.Seq) error {
	return verify(ctx, s, seq)
}

// Remove implements checkpoint.Store.
func (s *Memory) Remove(ctx context.Context, seq checkpoint.Seq) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	held, err := s.lookupLocked(seq)
	if err != nil {
		return fmt.Errorf("remove checkpoint %d: %w", seq, err)
	}
	delete(s.held, seq)
	return errors.Join(held.files.close(), s.forgetLocked(seq))
}

// Compact implements checkpoint.Store. Pages that nobody needs are given back
// one by one already.
func (s *Memory) Compact(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.checkOpenLocked(); err != nil {
		return err
	}
	s.spare.close()
	return nil
}

// Close implements checkpoint.Store. The checkpoints are gone with it.
func (s *Memory) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.thread.End()
	for seq, held := range s.held {
		held.files.close()
		s.pool.Release(s.indexes[seq])
	}
	s.pool.Close()
	s.spare.close()
	s.held, s.closed = nil, true
	return nil
}
