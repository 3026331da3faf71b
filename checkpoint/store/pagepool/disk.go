package pagepool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/pageindex"
	"runsc-recover/checkpoint/store/diskfs"
	"runsc-recover/checkpoint/store/frame"
)

// A segment on disk:
//
//	frames       of 16 pages, the last of the rest, each compressed with zstd
//	             unless that gains nothing; holes where nobody refers to one
//	             of a frame's pages any more
//	hashes       XXH64 of each page
//	sizes        of the frames as they are stored, 4 bytes each
//	addresses    an index (package pageindex) of the pages, in their order
//	footer       magic, bytes of addresses, pages, XXH64 from the hashes on:
//	             8 bytes each
//
// Numbers are little-endian.
const (
	segmentPrefix = "pages-"
	segmentMagic  = "rrpages\x02"
	footerSize    = 32
	// maxAddresses bounds what is read of a segment's addresses.
	maxAddresses = 1 << 20
)

func segmentName(id uint64) string { return fmt.Sprintf("%s%020d", segmentPrefix, id) }

func parseSegmentName(name string) (uint64, bool) {
	digits, ok := strings.CutPrefix(name, segmentPrefix)
	id, err := strconv.ParseUint(digits, 10, 64)
	return id, ok && err == nil && segmentName(id) == name
}

// diskBacking keeps segments in a directory.
type diskBacking struct {
	fs   diskfs.FS
	dir  string
	temp func() string // a new name for a file being written
}

func (d *diskBacking) path(id uint64) string { return filepath.Join(d.dir, segmentName(id)) }

func (d *diskBacking) create() (*os.File, error) { return d.fs.Create(d.temp()) }

func (d *diskBacking) write(f *os.File, b []byte, at int64) error { return d.fs.WriteAt(f, b, at) }

// keep implements segmentFiles. The segment has its name before any index
// refers to it; one that none does is removed at the next open.
func (d *diskBacking) keep(s *segment, addresses []pageindex.Run) error {
	table := segmentTable(s, addresses)
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

func segmentTable(s *segment, addresses []pageindex.Run) []byte {
	var b []byte
	for _, sum := range s.sums {
		b = binary.LittleEndian.AppendUint64(b, sum)
	}
	start := int64(0)
	for _, end := range s.frames.ends {
		b = binary.LittleEndian.AppendUint32(b, uint32(end-start))
		start = end
	}
	index := pageindex.AppendTo(nil, addresses)
	b = append(b, index...)
	b = append(b, segmentMagic...)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(index)))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(s.sums)))
	return binary.LittleEndian.AppendUint64(b, xxhash.Sum64(b))
}

// load opens a segment. Errors: ErrDamaged.
func (d *diskBacking) load(id uint64, p *Pool) (*segment, []pageindex.Run, error) {
	f, err := d.fs.OpenWritable(d.path(id))
	if err != nil {
		return nil, nil, err
	}
	s := &segment{f: f, id: id, frames: &frames{codec: p.codec, cache: &p.cache}}
	addresses, err := readSegmentTable(s)
	if err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("segment %d: %w", id, err)
	}
	s.refs = make([]uint32, len(s.sums))
	return s, addresses, nil
}

// readSegmentTable fills in what a segment's file says of its pages, and
// returns their addresses. The file may be hostile.
func readSegmentTable(s *segment) ([]pageindex.Run, error) {
	stat, err := s.f.Stat()
	if err != nil {
		return nil, err
	}
	if s.bytes = stat.Size(); !stat.Mode().IsRegular() || s.bytes < footerSize {
		return nil, errSegment("it isn't a segment")
	}
	footer := make([]byte, footerSize)
	if _, err := s.f.ReadAt(footer, s.bytes-footerSize); err != nil {
		return nil, err
	}
	size, pages := binary.LittleEndian.Uint64(footer[8:]), binary.LittleEndian.Uint64(footer[16:])
	if string(footer[:8]) != segmentMagic || size > maxAddresses || pages == 0 || pages > segmentPages {
		return nil, errSegment("its footer makes no sense")
	}
	frames := (pages + framePages - 1) / framePages
	table := make([]byte, pages*8+frames*4+size+footerSize)
	start := s.bytes - int64(len(table))
	if start < 0 {
		return nil, errSegment("it is too short")
	}
	if _, err := s.f.ReadAt(table, start); err != nil {
		return nil, err
	}
	body := table[:len(table)-8]
	if xxhash.Sum64(body) != binary.LittleEndian.Uint64(table[len(body):]) {
		return nil, errSegment("its table has another hash")
	}
	return decodeSegmentTable(s, table[:len(table)-footerSize], pages, frames, start)
}

func errSegment(what string) error { return fmt.Errorf("%w: %s", checkpoint.ErrDamaged, what) }

// decodeSegmentTable is the part of readSegmentTable about the table's
// contents. The frames end at end.
func decodeSegmentTable(s *segment, table []byte, pages, frames uint64, end int64) ([]pageindex.Run, error) {
	for range pages {
		s.sums = append(s.sums, binary.LittleEndian.Uint64(table))
		table = table[8:]
	}
	at := int64(0)
	for i := range frames {
		size := binary.LittleEndian.Uint32(table)
		table = table[4:]
		if size == 0 || int(size) > len(s.frameSums(i))*pageSize {
			return nil, errSegment("a frame's size makes no sense")
		}
		at += int64(size)
		s.frames.ends = append(s.frames.ends, at)
	}
	addresses, err := pageindex.Decode(table)
	if at != end || err != nil || pageindex.Pages(addresses) != pages {
		return nil, errSegment("its table makes no sense")
	}
	return addresses, nil
}

// OpenDisk returns a pool of the segments of a directory. temp returns a new
// name for a file being written.
func OpenDisk(fsys diskfs.FS, dir string, temp func() string, c *frame.Codec) (*Pool, error) {
	d := &diskBacking{fs: fsys, dir: dir, temp: temp}
	p := newPool(d, c)
	if err := d.loadAll(p); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// loadAll fills the pool with the segments of the directory, the newest
// first: where a crash left pages in two, it was the newer that was to stay.
// One that is damaged is left out: the checkpoints that need it say so.
func (d *diskBacking) loadAll(p *Pool) error {
	entries, err := d.fs.ReadDir(d.dir)
	if err != nil {
		return fmt.Errorf("list the directory: %w", err)
	}
	for _, e := range slices.Backward(entries) { // by name, so by id
		id, ok := parseSegmentName(e.Name())
		if !ok {
			continue
		}
		seg, addresses, err := d.load(id, p)
		if errors.Is(err, checkpoint.ErrDamaged) {
			p.skipID(id)
			continue
		}
		if err != nil {
			return err
		}
		p.adopt(seg, addresses)
	}
	return nil
}
