package store

import "context"

// Compact implements checkpoint.Store.
func (s *Disk) Compact(ctx context.Context) error {
	if err := s.checkOpen(); err != nil {
		return err
	}
	s.mu.Lock()
	s.spare.close()
	s.mu.Unlock()
	return classify(s.pool.Compact(ctx))
}

// measure adds up the sizes of the files of a directory.
func (s *Disk) measure(name string) int64 {
	entries, err := s.fs.ReadDir(s.path(name))
	if err != nil {
		return 0
	}
	bytes := int64(0)
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			bytes += info.Size()
		}
	}
	return bytes
}
