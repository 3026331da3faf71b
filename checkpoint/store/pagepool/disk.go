package pagepool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/pageindex"
	"runsc-recover/checkpoint/store/diskfs"
	"runsc-recover/checkpoint/store/frame"
)

// OpenDisk opens the pool in a directory, in which it owns the files named
// pages-N. temp returns a new name for a file being written, in the same file
// system; the caller removes such files before the next open. Pages are
// compressed with the codec.
//
// No page is held at first: the caller holds those of its indexes and then
// calls Trim. Damaged segments are left out, as if their pages were missing.
// The caller closes the pool. Errors: the operating system's.
func OpenDisk(fs diskfs.FS, dir string, temp func() string, c *frame.Codec) (*Pool, error) {
	d := &diskBacking{fs: fs, dir: dir, temp: temp}
	p := newPool(d, c)
	if err := d.loadAll(p); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

const segmentPrefix = "pages-"

func segmentName(id uint64) string { return fmt.Sprintf("%s%020d", segmentPrefix, id) }

// parseSegmentName is the inverse of segmentName.
func parseSegmentName(name string) (id uint64, ok bool) {
	digits, ok := strings.CutPrefix(name, segmentPrefix)
	id, err := strconv.ParseUint(digits, 10, 64)
	return id, ok && err == nil && segmentName(id) == name
}

// diskBacking keeps segments in a directory.
type diskBacking struct {
	fs   diskfs.FS
	dir  string
	temp func() string
}

func (d *diskBacking) path(id uint64) string { return filepath.Join(d.dir, segmentName(id)) }

func (d *diskBacking) create() (*os.File, error) { return d.fs.Create(d.temp()) }

func (d *diskBacking) write(f *os.File, b []byte, at int64) error { return d.fs.WriteAt(f, b, at) }

// commit implements backing. The segment has its name before any index refers
// to it; a segment that no index refers to is removed by Trim at the next open.
func (d *diskBacking) commit(s *segment, addresses []pageindex.Run) error {
	table := encodeTable(s, addresses)
	if err := d.fs.WriteAt(s.f, table, s.bytes); err != nil {
		return err
	}
	s.bytes += int64(len(table))
	if err := d.fs.Sync(s.f); err != nil {
		return err
	}
	if err := d.fs.Rename(s.f.Name(), d.path(s.id)); err != nil {
		return err
	}
	return d.fs.SyncDir(d.dir)
}

func (d *diskBacking) remove(s *segment) error {
	return errors.Join(d.fs.RemoveAll(s.f.Name()), d.fs.RemoveAll(d.path(s.id)))
}

// loadAll adopts the segments of the directory, the newest first: where a crash
// left pages in two of them, the older one was to be removed.
func (d *diskBacking) loadAll(p *Pool) error {
	entries, err := d.fs.ReadDir(d.dir)
	if err != nil {
		return fmt.Errorf("list the directory: %w", err)
	}
	for _, e := range slices.Backward(entries) { // by name, and so by id
		id, ok := parseSegmentName(e.Name())
		if !ok {
			continue
		}
		s, addresses, err := d.load(id, p)
		if errors.Is(err, checkpoint.ErrDamaged) {
			p.reserveID(id)
			continue
		}
		if err != nil {
			return err
		}
		p.adopt(s, addresses)
	}
	return nil
}

// load opens a segment without references. Errors: ErrDamaged, the operating
// system's.
func (d *diskBacking) load(id uint64, p *Pool) (*segment, []pageindex.Run, error) {
	f, err := d.fs.OpenWritable(d.path(id))
	if err != nil {
		return nil, nil, err
	}
	s := &segment{f: f, id: id, frames: &frames{codec: p.codec, cache: &p.cache}}
	addresses, err := readTable(s)
	if err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("segment %d: %w", id, err)
	}
	s.refs = make([]uint32, len(s.sums))
	return s, addresses, nil
}
