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

// frames finds the pages of a segment that lie in frames.
type frames struct {
	codec *frame.Codec
	cache *frameCache
	ends  []int64 // of the frames, in the file
}

// load reads a frame into b, which has its size, and compares its pages with
// their hashes. Errors: ErrDamaged.
func (fs *frames) load(f *os.File, frame uint64, b []byte, sums []uint64) error {
	start := int64(0)
	if frame > 0 {
		start = fs.ends[frame-1]
	}
	stored := make([]byte, fs.ends[frame]-start)
	if _, err := f.ReadAt(stored, start); err != nil {
		return fmt.Errorf("%w: read a frame: %w", checkpoint.ErrDamaged, err)
	}
	if err := fs.codec.Unpack(b, stored); err != nil {
		return err
	}
	for i, sum := range sums {
		if xxhash.Sum64(b[i*pageSize:(i+1)*pageSize]) != sum {
			return fmt.Errorf("%w: page %d has another hash", checkpoint.ErrDamaged, frame*framePages+uint64(i))
		}
	}
	return nil
}

// cachedFrames bounds a frameCache: 1 MiB.
const cachedFrames = 16

// frameCache keeps the frames last read in part, for the reader that comes for
// the rest of them.
type frameCache struct {
	mu    sync.Mutex
	slots [cachedFrames]cachedFrame
	clock uint64
}

type cachedFrame struct {
	seg   *segment // nil for none
	frame uint64
	data  []byte
	used  uint64
}

// get fills b with what is from byte skip of a frame on, if it is there.
func (c *frameCache) get(b []byte, seg *segment, frame, skip uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clock++
	for i := range c.slots {
		if s := &c.slots[i]; s.seg == seg && s.frame == frame {
			s.used = c.clock
			copy(b, s.data[skip:])
			return true
		}
	}
	return false
}

// put takes ownership of data.
func (c *frameCache) put(seg *segment, frame uint64, data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clock++
	oldest := &c.slots[0]
	for i := range c.slots {
		if c.slots[i].used < oldest.used {
			oldest = &c.slots[i]
		}
	}
	*oldest = cachedFrame{seg, frame, data, c.clock}
}

// clear lets go of all frames.
func (c *frameCache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.slots[:])
}

// forget lets go of a segment's frames.
func (c *frameCache) forget(seg *segment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.slots {
		if c.slots[i].seg == seg {
			c.slots[i] = cachedFrame{}
		}
	}
}
