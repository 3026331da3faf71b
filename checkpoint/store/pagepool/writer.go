package pagepool

import (
	"context"
	"fmt"
	"os"

	"github.com/cespare/xxhash/v2"

	"runsc-recover/checkpoint/pageindex"
	"runsc-recover/checkpoint/store/frame"
)

// segmentWriter appends pages to a new segment.
type segmentWriter struct {
	f     *os.File
	write func(f *os.File, b []byte, at int64) error
	sums  []uint64
	size  int64
	codec *frame.Codec // nil: each page lies by itself
	frame []byte       // pages whose frame isn't full yet
	ends  []int64
	buf   []byte
	// packed is used again for each frame.
	packed []byte
}

// copy appends pages of a file, and tells copied of them. What is written is what is hashed, even if the
// file changes meanwhile.
func (w *segmentWriter) copy(ctx context.Context, from *os.File, at, pages uint64, copied func(at, pages uint64)) error {
	if w.buf == nil {
		w.buf = make([]byte, chunkPages*pageSize)
	}
	for pages > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(pages, chunkPages)
		b := w.buf[:n*pageSize]
		if _, err := from.ReadAt(b, int64(at*pageSize)); err != nil {
			return fmt.Errorf("read pages: %w", err)
		}
		for i := range n {
			w.sums = append(w.sums, xxhash.Sum64(b[i*pageSize:(i+1)*pageSize]))
		}
		if err := w.append(b); err != nil {
			return err
		}
		copied(at, n)
		at, pages = at+n, pages-n
	}
	return nil
}

// append adds whole pages, whose hashes are in sums already.
func (w *segmentWriter) append(pages []byte) error {
	if w.codec == nil {
		return w.put(pages)
	}
	for len(pages) > 0 {
		n := min(len(pages), frameBytes-len(w.frame))
		w.frame, pages = append(w.frame, pages[:n]...), pages[n:]
		if len(w.frame) == frameBytes {
			if err := w.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush writes the last frame.
func (w *segmentWriter) flush() error {
	if len(w.frame) == 0 {
		return nil
	}
	w.packed = w.codec.Pack(w.packed, w.frame)
	w.frame = w.frame[:0]
	err := w.put(w.packed)
	w.ends = append(w.ends, w.size)
	return err
}

func (w *segmentWriter) put(b []byte) error {
	if err := w.write(w.f, b, w.size); err != nil {
		return fmt.Errorf("write pages: %w", err)
	}
	w.size += int64(len(b))
	return nil
}

// segment is what was written. All its pages are referred to once.
func (w *segmentWriter) segment(id uint64, cache *frameCache) *segment {
	s := &segment{f: w.f, id: id, sums: w.sums, bytes: w.size, refs: make([]uint32, len(w.sums))}
	if w.codec != nil {
		s.frames = &frames{w.codec, cache, w.ends}
	}
	return s
}

// newSegment writes and keeps a segment of pages that have these addresses.
// fill appends them.
func (p *Pool) newSegment(addresses []pageindex.Run, fill func(*segmentWriter) error) (*segment, error) {
	f, err := p.files.create()
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.lastID++
	id := p.lastID
	p.mu.Unlock()
	w := &segmentWriter{f: f, write: p.files.write, codec: p.codec}
	err = fill(w)
	if err == nil {
		err = w.flush()
	}
	s := w.segment(id, &p.cache)
	if err == nil {
		err = p.files.keep(s, addresses)
	}
	if err != nil {
		p.files.remove(s)
		f.Close()
		return nil, err
	}
	return s, nil
}
