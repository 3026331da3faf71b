// Package dirtytrack knows which pages of gVisor's memory files may have been
// written since a capture. It implements capture.Tracker. A page changes in
// three ways, and each is seen in its own:
//
//   - The program writes, through the mappings that the platform makes in the
//     stub processes. A platform around it maps writable memory read-only
//     after a capture; the first write then faults, and a window around it is
//     mapped for writing and noted (space.go, regions.go).
//   - The sentry writes, through its own mapping of the file: userfaultfd
//     write-protects that mapping, and PAGEMAP_SCAN reads which pages lost the
//     protection (watch.go).
//   - The page is taken from the file, and comes back as another. The two ways
//     above can miss that, so each file is mapped once more, as a view that only
//     captures read: a page that is gone from the view's page tables may be
//     another (file.go).
//
// The pages reported are always more than those that changed, never fewer. A
// page of which nothing can be told counts as written.
//
// It must not know checkpoints. Where the host's kernel lacks a mechanism there
// is no Tracker, and captures compare contents.
//
// # Locks
//
//	the locks of gVisor's memory manager, then space.mu, then Tracker.mu or
//	file.mu, of which none is held while the other is taken
//
// It starts no goroutines. Faults are handled on task goroutines, which stand
// still while memory is captured; captures come one at a time. None of its
// state is part of a checkpoint.
package dirtytrack

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"gvisor.dev/gvisor/pkg/seccomp"
	"gvisor.dev/gvisor/pkg/sentry/memmap"
	"gvisor.dev/gvisor/pkg/sentry/pgalloc"

	"runsc-recover/checkpoint/pageset"
	"runsc-recover/sentry/capture"
)

const pageSize = 4096

// Name is the name of this way of tracking, for the operator.
const Name = "write-protect"

// Tracker implements capture.Tracker. There is one in a process.
type Tracker struct {
	watcher *watcher

	mu sync.Mutex
	// The following are guarded by mu.

	files  map[uint64]*file // by inode
	known  map[*pgalloc.MemoryFile]*file
	spaces map[*space]struct{}
}

var _ capture.Tracker = (*Tracker)(nil)

// New opens the descriptors that tracking needs. It must be called before the
// seccomp filters are installed. The error names the mechanism that the host's
// kernel lacks.
func New() (*Tracker, error) {
	w, err := openWatcher()
	if err != nil {
		return nil, err
	}
	return &Tracker{
		watcher: w,
		files:   make(map[uint64]*file),
		known:   make(map[*pgalloc.MemoryFile]*file),
		spaces:  make(map[*space]struct{}),
	}, nil
}

// Probe returns the error that New would return in this process.
func Probe() error {
	w, err := openWatcher()
	if err != nil {
		return err
	}
	w.close()
	return nil
}

// Filters are the system calls that a Tracker makes beside those of the
// sentry.
func (t *Tracker) Filters() seccomp.SyscallRules {
	return seccomp.MakeSyscallRules(map[uintptr]seccomp.SyscallRule{
		unix.SYS_IOCTL: seccomp.Or{
			seccomp.PerArg{seccomp.EqualTo(uint64(t.watcher.uffd)), seccomp.EqualTo(uint64(uffdioRegister))},
			seccomp.PerArg{seccomp.EqualTo(uint64(t.watcher.pagemap)), seccomp.EqualTo(uint64(pagemapScan))},
		},
	})
}

// Name implements capture.Tracker.
func (t *Tracker) Name() string { return Name }

// Watch implements capture.Tracker.
func (t *Tracker) Watch(ino uint64, fd int, size uint64, changed *pageset.Set) capture.Watch {
	t.mu.Lock()
	f := t.fileLocked(ino)
	spaces := make([]*space, 0, len(t.spaces))
	for s := range t.spaces {
		spaces = append(spaces, s)
	}
	t.mu.Unlock()
	hot := f.nextInterval(changed)
	for _, s := range spaces {
		s.protect(f, hot)
	}
	f.collect(t.watcher, size, changed)
	return &watch{file: f, watcher: t.watcher, fd: fd}
}

// Begin implements capture.Tracker.
func (t *Tracker) Begin(ino uint64, fd int) capture.Watch {
	t.mu.Lock()
	defer t.mu.Unlock()
	return &watch{file: t.fileLocked(ino), watcher: t.watcher, fd: fd}
}

// Forget implements capture.Tracker.
func (t *Tracker) Forget(ino uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.files[ino]
	if f == nil {
		return
	}
	delete(t.files, ino)
	for mf, known := range t.known {
		if known == f {
			delete(t.known, mf)
		}
	}
	f.forget()
}

func (t *Tracker) fileLocked(ino uint64) *file {
	f := t.files[ino]
	if f == nil {
		f = &file{}
		t.files[ino] = f
	}
	return f
}

// fileOf returns the record of a memory file; nil for a file of another kind,
// which no checkpoint holds.
func (t *Tracker) fileOf(mapped memmap.File) *file {
	mf, ok := mapped.(*pgalloc.MemoryFile)
	if !ok {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if f := t.known[mf]; f != nil {
		return f
	}
	var stat unix.Stat_t
	if err := unix.Fstat(mf.FD(), &stat); err != nil {
		panic(fmt.Sprintf("memory file without a descriptor: %v", err))
	}
	f := t.fileLocked(stat.Ino)
	t.known[mf] = f
	return f
}

func (t *Tracker) add(s *space) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.spaces[s] = struct{}{}
}

func (t *Tracker) remove(s *space) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.spaces, s)
}
