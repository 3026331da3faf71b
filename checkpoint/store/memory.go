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

// Memory keeps checkpoints in files in memory. They survive the sandbox's
// death, and neither Close nor the end of this process.
type Memory struct {
	catalog
	// published are the published checkpoints. It is guarded by the catalog's
	// lock.
	published map[checkpoint.Seq]memoryCheckpoint
}

type memoryCheckpoint struct {
	manifest checkpoint.Manifest
	files    files
}

var _ checkpoint.Store = (*Memory)(nil)

// NewMemory returns an empty store. The caller closes it.
func NewMemory(opts Options) *Memory {
	s := &Memory{catalog: newCatalog(opts), published: make(map[checkpoint.Seq]memoryCheckpoint)}
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
	if err == nil {
		err = st.openReceived()
	}
	if err != nil {
		return nil, classify(err)
	}
	st.commit = func(ctx context.Context, m checkpoint.Manifest, a *absorbed, began time.Time) (checkpoint.Manifest, error) {
		return s.commit(ctx, st, m, a, began)
	}
	return st, nil
}

// commit makes the files that a staging received those of a published
// checkpoint.
func (s *Memory) commit(ctx context.Context, st *staging, m checkpoint.Manifest, a *absorbed, began time.Time) (checkpoint.Manifest, error) {
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
	s.published[m.Seq] = memoryCheckpoint{m, st.received}
	st.received = files{}
	return m, nil
}

// List implements checkpoint.Store. No manifest is bad.
func (s *Memory) List(context.Context) ([]checkpoint.Manifest, map[checkpoint.Seq]error, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.checkOpenLocked(); err != nil {
		return nil, nil, err
	}
	var out []checkpoint.Manifest
	for _, seq := range slices.Sorted(maps.Keys(s.published)) {
		out = append(out, copyManifest(s.published[seq].manifest))
	}
	return out, nil, nil
}

// Open implements checkpoint.Store.
func (s *Memory) Open(ctx context.Context, seq checkpoint.Seq) (checkpoint.Image, error) {
	img, err := s.openImage(ctx, seq)
	if err != nil {
		return nil, err
	}
	return img, nil
}

func (s *Memory) openImage(ctx context.Context, seq checkpoint.Seq) (*image, error) {
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
	found, err := s.lookupLocked(seq)
	if err != nil {
		return nil, err
	}
	fs, err := openFiles(func(name checkpoint.FileName) (*os.File, error) {
		return memfile.Reopen(found.files.get(name))
	})
	if err != nil {
		return nil, err
	}
	return &image{manifest: copyManifest(found.manifest), files: fs, pool: s.pool, lease: s.pool.Lease(s.indexes[seq])}, nil
}

func (s *Memory) lookupLocked(seq checkpoint.Seq) (memoryCheckpoint, error) {
	if err := s.checkOpenLocked(); err != nil {
		return memoryCheckpoint{}, err
	}
	found, ok := s.published[seq]
	if !ok {
		return found, checkpoint.ErrNotFound
	}
	return found, nil
}

// Verify implements checkpoint.Store.
func (s *Memory) Verify(ctx context.Context, seq checkpoint.Seq) error {
	return verify(ctx, s.openImage, seq)
}

// Remove implements checkpoint.Store.
func (s *Memory) Remove(_ context.Context, seq checkpoint.Seq) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, err := s.lookupLocked(seq)
	if err != nil {
		return fmt.Errorf("remove checkpoint %d: %w", seq, err)
	}
	delete(s.published, seq)
	return errors.Join(found.files.close(), s.forgetLocked(seq))
}

// Compact implements checkpoint.Store. Unreferenced pages are given back one by
// one already.
func (s *Memory) Compact(context.Context) error { return s.discardSpare() }

// Close implements checkpoint.Store. The checkpoints are gone with it.
func (s *Memory) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.thread.End()
	for seq, held := range s.published {
		held.files.close()
		_ = s.pool.Release(s.indexes[seq]) // the memory goes with the last descriptor
	}
	s.pool.Close()
	s.spare.discard()
	s.published = nil
	return nil
}
