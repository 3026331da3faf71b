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
	codec *frame.Codec // nil: pages are written as they are
	sums  []uint64     // of all pages
	size  int64        // bytes written
	ends  []int64      // of the frames written
	frame []byte       // pages of a frame that isn't full
	// chunk and packed are buffers.
	chunk, packed []byte
}

// copy appends pages of a file and tells copied of them. The bytes that are
// hashed are those that are written, even if the file changes meanwhile.
func (w *segmentWriter) copy(ctx context.Context, from *os.File, at, pages uint64, copied func(at, pages uint64)) error {
	if w.chunk == nil {
		w.chunk = make([]byte, chunkPages*pageSize)
	}
	for pages > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(pages, chunkPages)
		b := w.chunk[:n*pageSize]
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

// flush writes the last frame, if it holds pages.
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

// segment returns the segment that was written, without references.
func (w *segmentWriter) segment(id uint64, cache *frameCache) *segment {
	s := &segment{f: w.f, id: id, sums: w.sums, bytes: w.size, refs: make([]uint32, len(w.sums))}
	if w.codec != nil {
		s.frames = &frames{w.codec, cache, w.ends}
	}
	return s
}

// newSegment writes a segment of pages at some addresses, which fill appends,
// and commits it. The caller adopts the segment.
func (p *Pool) newSegment(addresses []pageindex.Run, fill func(*segmentWriter) error) (*segment, error) {
	f, err := p.backing.create()
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.lastID++
	id := p.lastID
	p.mu.Unlock()
	w := &segmentWriter{f: f, write: p.backing.write, codec: p.codec}
	err = fill(w)
	if err == nil {
		err = w.flush()
	}
	s := w.segment(id, &p.cache)
	if err == nil {
		err = p.backing.commit(s, addresses)
	}
	if err != nil {
		_ = p.backing.remove(s) // the next open removes leftovers
		f.Close()
		return nil, err
	}
	return s, nil
}
