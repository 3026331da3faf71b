// Package oomscore ranks this process last for the kernel's OOM killer, except
// while it starts others, which inherit the rank.
//
// It must not know cgroups or sandboxes. Locks: one per Shield, around the
// count of callers and the score's file.
package oomscore

import (
	"os"
	"strconv"
	"strings"
	"sync"
)

// shieldedScore keeps the kernel from choosing the supervisor when the
// container's memory runs out: with it everything would be lost, while a
// sandbox that is killed can be restored.
const shieldedScore = -999

// Shield ranks this process last for the OOM killer, except while it starts
// others, which inherit its rank. Without the privilege nothing changes.
type Shield struct {
	file     string // /proc/self/oom_score_adj
	original string

	mu      sync.Mutex
	exposed int // calls of Expose under way, guarded by mu
}

// Raise begins to shield the process whose score is in file. A nil result shields
// nothing, and may be used.
func Raise(file string) *Shield {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	s := &Shield{file: file, original: strings.TrimSpace(string(b))}
	if n, err := strconv.Atoi(s.original); err != nil || n <= shieldedScore || s.write(strconv.Itoa(shieldedScore)) != nil {
		return nil
	}
	return s
}

// Expose runs f, which starts processes, with the original rank.
func (s *Shield) Expose(f func()) {
	if s == nil {
		f()
		return
	}
	s.change(1)
	defer s.change(-1)
	f()
}

func (s *Shield) change(by int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.exposed
	s.exposed += by
	// Raise has written to the file, so it can be written: it is this process's.
	switch {
	case before == 0:
		_ = s.write(s.original)
	case s.exposed == 0:
		_ = s.write(strconv.Itoa(shieldedScore))
	}
}

func (s *Shield) write(score string) error { return os.WriteFile(s.file, []byte(score), 0) }
