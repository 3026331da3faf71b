package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/pageindex"
	"runsc-recover/checkpoint/store/diskfs"
)

// Stage implements checkpoint.Store.
func (s *Disk) Stage(ctx context.Context, parent checkpoint.Seq) (checkpoint.Staging, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := s.checkOpen(); err != nil {
		return nil, err
	}
	st := &diskStaging{store: s, dir: s.nextStagingPath()}
	if err := s.fs.Mkdir(st.dir); err != nil {
		return nil, fmt.Errorf("stage a checkpoint: %w", classify(err))
	}
	var err error
	if st.staging, err = s.stage(parent); err == nil {
		err = st.openReceived()
	}
	if err != nil {
		err = errors.Join(err, s.fs.RemoveAll(st.dir))
		return nil, fmt.Errorf("stage a checkpoint: %w", classify(err))
	}
	st.commit = st.commitToDisk
	return st, nil
}

func (s *Disk) nextStagingPath() string {
	return s.path(fmt.Sprint(stagingPrefix, s.stagings.Add(1)))
}

// diskStaging is a checkpoint being written, and the directory that becomes the
// checkpoint's.
type diskStaging struct {
	*staging
	store *Disk
	dir   string
}

// create makes a file of the checkpoint, in place of one that an earlier
// Publish left.
func (st *diskStaging) create(name string) (*os.File, error) {
	path := filepath.Join(st.dir, name)
	if err := st.store.fs.RemoveAll(path); err != nil {
		return nil, err
	}
	return st.store.fs.Create(path)
}

// commitToDisk writes the staging directory and gives it the checkpoint's name.
// The manifest is written last: it has the hashes of the others.
func (st *diskStaging) commitToDisk(ctx context.Context, m checkpoint.Manifest, a *absorbed, began time.Time) (checkpoint.Manifest, error) {
	var fs files
	defer fs.close()
	m, err := st.writeFiles(ctx, &fs, m, a, began)
	if err != nil {
		return m, err
	}
	if err := st.store.checkLimit(m, a.index); err != nil {
		return m, err
	}
	if err := st.writeManifest(m); err != nil {
		return m, err
	}
	return m, st.store.publish(st.dir, m, a.index)
}

// writeFiles writes all files but the manifest, which it completes. fs takes
// the files.
func (st *diskStaging) writeFiles(ctx context.Context, fs *files, m checkpoint.Manifest, a *absorbed, began time.Time) (checkpoint.Manifest, error) {
	var contents [len(fs)]int64
	for i, name := range checkpoint.FileNames {
		f, err := st.create(string(name))
		if err != nil {
			return m, err
		}
		fs[i] = f
		out := &fileWriter{st.store.fs, f, 0}
		if isPacked(name) {
			contents[i], err = st.store.codec.PackFile(ctx, out, st.received[i], st.store.opts.maxBytes())
		} else {
			_, err = out.Write(pageindex.AppendTo(nil, a.index))
		}
		if err == nil {
			err = st.store.fs.Sync(f)
		}
		if err != nil {
			return m, fmt.Errorf("write %s: %w", name, err)
		}
	}
	m, err := complete(ctx, m, fs, a.pages, st.store.opts, began)
	for i := range m.Files {
		m.Files[i].Contents = contents[i]
	}
	return m, err
}

// fileWriter writes a new file, one write after the other.
type fileWriter struct {
	fs diskfs.FS
	f  *os.File
	at int64
}

// Write implements io.Writer.
func (w *fileWriter) Write(b []byte) (int, error) {
	if err := w.fs.WriteAt(w.f, b, w.at); err != nil {
		return 0, err
	}
	w.at += int64(len(b))
	return len(b), nil
}

// writeManifest completes the staging directory.
func (st *diskStaging) writeManifest(m checkpoint.Manifest) error {
	data, err := encodeManifest(m)
	if err != nil {
		return err
	}
	f, err := st.create(manifestName)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := st.store.fs.WriteAt(f, data, 0); err != nil {
		return err
	}
	if err := st.store.fs.Sync(f); err != nil {
		return err
	}
	return st.store.fs.SyncDir(st.dir)
}

// publish gives a complete staging directory its checkpoint's name.
func (s *Disk) publish(dir string, m checkpoint.Manifest, index []pageindex.Run) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.checkNextLocked(m.Seq); err != nil {
		return err
	}
	final := s.path(dirName(m.Seq))
	if err := s.fs.Rename(dir, final); err != nil {
		return err
	}
	if err := s.fs.SyncDir(s.dir); err != nil {
		// The checkpoint isn't known to be durable: nobody may rely on it.
		return errors.Join(err, s.fs.Rename(final, dir))
	}
	s.enterLocked(m, index)
	return nil
}

func (st *diskStaging) Discard() error {
	if st.ended {
		return nil
	}
	return errors.Join(st.end(), st.store.fs.RemoveAll(st.dir))
}
