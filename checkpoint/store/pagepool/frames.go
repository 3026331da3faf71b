package pagepool

import (
	"fmt"
	"os"
	"sync"

	"github.com/cespare/xxhash/v2"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/store/frame"
)

// A frame holds few pages, so that reading one page anywhere costs little.
const (
	frameBytes = frame.Size
	framePages = frameBytes / pageSize
)

// frames finds the pages of a segment that are compressed in frames. It is
// immutable.
type frames struct {
	codec *frame.Codec
	cache *frameCache
	ends  []int64 // offset of each frame's end in the file
}

// span is the place of a frame in the file.
func (fs *frames) span(number uint64) (at, size int64) {
	if number > 0 {
		at = fs.ends[number-1]
	}
	return at, fs.ends[number] - at
}

// load reads a frame into b, which has the size of its pages, and compares them
// with their hashes. Errors: ErrDamaged.
func (fs *frames) load(f *os.File, number uint64, b []byte, sums []uint64) error {
	at, size := fs.span(number)
	stored := make([]byte, size)
	if _, err := f.ReadAt(stored, at); err != nil {
		return fmt.Errorf("%w: read a frame: %w", checkpoint.ErrDamaged, err)
	}
	if err := fs.codec.Unpack(b, stored); err != nil {
		return err
	}
	for i, sum := range sums {
		if xxhash.Sum64(b[i*pageSize:(i+1)*pageSize]) != sum {
			return fmt.Errorf("%w: page %d has another hash", checkpoint.ErrDamaged, number*framePages+uint64(i))
		}
	}
	return nil
}

// cachedFrames bounds a frameCache to 1 MiB.
const cachedFrames = 16

// frameCache keeps the frames last read in part, for the reader that comes for
// the rest of them. It is safe for concurrent use.
type frameCache struct {
	mu    sync.Mutex // guards all below
	slots [cachedFrames]cachedFrame
	clock uint64
}

type cachedFrame struct {
	seg    *segment // nil: the slot is empty
	number uint64
	data   []byte
	used   uint64 // clock at the last use
}

// get fills b with the contents of a frame, from byte skip on, and reports
// whether the frame is cached.
func (c *frameCache) get(b []byte, seg *segment, number, skip uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clock++
	for i := range c.slots {
		if s := &c.slots[i]; s.seg == seg && s.number == number {
			s.used = c.clock
			copy(b, s.data[skip:])
			return true
		}
	}
	return false
}

// put caches a frame in place of the one unused for longest. It takes ownership
// of data.
func (c *frameCache) put(seg *segment, number uint64, data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clock++
	oldest := &c.slots[0]
	for i := range c.slots {
		if c.slots[i].used < oldest.used {
			oldest = &c.slots[i]
		}
	}
	*oldest = cachedFrame{seg, number, data, c.clock}
}

// clear drops all frames.
func (c *frameCache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.slots[:])
}

// forget drops a segment's frames.
func (c *frameCache) forget(seg *segment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.slots {
		if c.slots[i].seg == seg {
			c.slots[i] = cachedFrame{}
		}
	}
}
