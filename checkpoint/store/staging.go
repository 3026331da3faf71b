package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/memfile"
)

var errEnded = errors.New("staging has ended")

// commit gives what was received and absorbed its place in a store and its
// checkpoint's name, or returns an error and has done nothing that counts.
// Publish began at the time given.
type commit func(ctx context.Context, m checkpoint.Manifest, a *absorbed, began time.Time) (checkpoint.Manifest, error)

// staging is a checkpoint being written. What the sandbox writes it writes to
// memory: no disk holds the program up.
type staging struct {
	catalog *catalog
	*stagingFiles
	received files // the index is missing
	commit   commit
	offered  bool // Publish was called: the sandbox is done with the memory
	ended    bool
}

// stage begins a checkpoint over the parent, if that is there.
func (l *catalog) stage(parent checkpoint.Seq) (*staging, error) {
	x, err := l.openFiles(parent)
	if err != nil {
		return nil, err
	}
	st := &staging{catalog: l, stagingFiles: x}
	for _, name := range []checkpoint.FileName{checkpoint.FileKernel, checkpoint.FilePagesMeta} {
		f, err := memfile.New(string(name))
		if err != nil {
			return nil, errors.Join(err, st.end())
		}
		st.received.set(name, f)
	}
	return st, nil
}

func (st *staging) Parent() checkpoint.Seq { return st.parentSeq }

func (st *staging) File(name checkpoint.FileName) *os.File {
	if f := st.stagingFiles.get(name); f != nil {
		return f
	}
	return st.received.get(name)
}

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
	st.catalog.reuse(st.takeSpare(done.Pages.Changed))
	st.end()
	return copyManifest(done), nil
}

func (st *staging) publish(ctx context.Context, m checkpoint.Manifest, began time.Time) (checkpoint.Manifest, error) {
	l := st.catalog
	if err := l.mayPublish(m); err != nil {
		return m, err
	}
	a, err := st.stagingFiles.absorb(ctx, l.pool, l.opts.maxBytes())
	if err != nil {
		return m, err
	}
	if m, err = st.commit(ctx, m, a, began); err != nil {
		return m, errors.Join(err, a.undo(l.pool))
	}
	// It is published: what can't be tidied up now is at the next open, and in
	// memory a hole that can't be made costs memory, no more.
	_ = l.pool.Release(a.added)
	l.pool.CompactSoon()
	return m, nil
}

func (st *staging) Discard() error {
	if st.ended {
		return nil
	}
	return st.end()
}

// end lets go of what the sandbox wrote to. Memory that it is done with is
// given back though it has that mapped.
func (st *staging) end() error {
	st.ended = true
	if st.offered && st.staged != nil {
		st.catalog.reuse(st.takeSpare(0))
	}
	return errors.Join(st.stagingFiles.close(), st.received.close(), st.catalog.pool.Done(st.parent))
}
