package capture

import (
	"fmt"

	"golang.org/x/sys/unix"
)

const (
	// stagingRoom is how much of the staging file is mapped: more than can
	// change at once. Only pages that are touched take memory.
	stagingRoom = 64 << 30
	// stagingStep is by how much the file grows.
	stagingStep = 16 << 20
)

// staging is the supervisor's memory for pages that changed. It stays mapped
// for as long as the supervisor hands over the same file, which keeps its page
// tables.
type staging struct {
	id      fileID
	mapping []byte // all of stagingRoom
	fd      int    // of the current capture
	size    int64  // of the file
	used    int64
}

// use maps a file that stays the caller's, unless it is mapped.
func (s *staging) use(fd int) error {
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return err
	}
	s.fd, s.size, s.used = fd, stat.Size, 0
	id := fileID{uint64(stat.Dev), stat.Ino}
	if s.mapping != nil && s.id == id {
		return nil
	}
	if err := s.release(); err != nil {
		return err
	}
	m, err := unix.Mmap(fd, 0, stagingRoom, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	s.mapping, s.id = m, id
	return nil
}

// add copies a page and returns its number in the file.
func (s *staging) add(page []byte) (uint64, error) {
	at := s.used
	if at+pageSize > s.size {
		if err := s.grow(); err != nil {
			return 0, err
		}
	}
	copy(s.mapping[at:at+pageSize], page)
	s.used += pageSize
	return uint64(at) >> pageShift, nil
}

// release unmaps the memory, which lasts for as long as it is mapped anywhere.
func (s *staging) release() error {
	if s.mapping == nil {
		return nil
	}
	if err := unix.Munmap(s.mapping); err != nil {
		return err
	}
	s.mapping = nil
	return nil
}

func (s *staging) grow() error {
	size := s.size + stagingStep
	if size > stagingRoom {
		return ErrFull
	}
	// Touching the mapping beyond the file's end would be fatal.
	if err := unix.Ftruncate(s.fd, size); err != nil {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	s.size = size
	return nil
}
