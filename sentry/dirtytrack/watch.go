package dirtytrack

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"runsc-recover/checkpoint/memfile"
)

// From linux/userfaultfd.h and linux/fs.h; x/sys has neither.
const (
	uffdUserModeOnly = 1
	uffdAPI          = 0xaa

	uffdFeatureWPShmem = 1 << 12 // UFFD_FEATURE_WP_HUGETLBFS_SHMEM
	uffdFeatureWPAsync = 1 << 15 // UFFD_FEATURE_WP_ASYNC

	uffdioAPI          = 0xc018aa3f
	uffdioRegister     = 0xc020aa00
	uffdRegisterModeWP = 1 << 1

	pagemapScan       = 0xc0606610
	pmScanWPMatching  = 1 << 0
	pmScanCheckWPAync = 1 << 1
	pageIsWritten     = 1 << 1
	pageIsPresent     = 1 << 3
)

type uffdAPIArg struct {
	api, features, ioctls uint64
}

type uffdRegisterArg struct {
	start, length, mode, ioctls uint64
}

type pmScanArg struct {
	size, flags                    uint64
	start, end, walkEnd            uint64
	vec, vecLen, maxPages          uint64
	categoryInverted, categoryMask uint64
	categoryAnyofMask, returnMask  uint64
}

// pageRegion is the kernel's struct page_region: addresses of pages that have
// the categories asked for.
type pageRegion struct {
	start, end, categories uint64
}

// errUnsupported: the host's kernel can't tell which pages were written.
var errUnsupported = errors.New("userfaultfd with WP_ASYNC, or PAGEMAP_SCAN, isn't there")

// watcher asks the host's kernel which pages of this process's mappings were
// written. Its descriptors are opened before the seccomp filters.
type watcher struct {
	uffd, pagemap int
	regions       []pageRegion // used again by each scan
}

// openWatcher returns an error that wraps errUnsupported where the kernel lacks
// a mechanism. It tries all of them on pages of its own.
func openWatcher() (*watcher, error) {
	uffd, err := openUserfaultfd()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnsupported, err)
	}
	pagemap, err := unix.Open("/proc/self/pagemap", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		unix.Close(uffd)
		return nil, fmt.Errorf("open pagemap: %w", err)
	}
	w := &watcher{uffd: uffd, pagemap: pagemap, regions: make([]pageRegion, 2048)}
	if err := w.try(); err != nil {
		w.close()
		return nil, fmt.Errorf("%w: %w", errUnsupported, err)
	}
	return w, nil
}

func openUserfaultfd() (int, error) {
	fd, _, errno := unix.Syscall(unix.SYS_USERFAULTFD, unix.O_CLOEXEC|unix.O_NONBLOCK|uffdUserModeOnly, 0, 0)
	if errno != 0 {
		return -1, os.NewSyscallError("userfaultfd", errno)
	}
	arg := uffdAPIArg{api: uffdAPI, features: uffdFeatureWPShmem | uffdFeatureWPAsync}
	if err := ioctl(int(fd), uffdioAPI, unsafe.Pointer(&arg)); err != nil {
		unix.Close(int(fd))
		return -1, fmt.Errorf("negotiate userfaultfd: %w", err)
	}
	return int(fd), nil
}

func ioctl(fd int, request uintptr, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg)); errno != 0 {
		return os.NewSyscallError("ioctl", errno)
	}
	return nil
}

func (w *watcher) close() {
	unix.Close(w.uffd)
	unix.Close(w.pagemap)
}

// try watches two pages, of which one is written.
func (w *watcher) try() error {
	f, err := memfile.New("watch")
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(2 * pageSize); err != nil {
		return err
	}
	m, err := unix.Mmap(int(f.Fd()), 0, 2*pageSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	defer unix.Munmap(m)
	m[0], m[pageSize] = 1, 1
	if err := w.register(m); err != nil {
		return err
	}
	var seen []uint64
	note := func(page, pages uint64) {
		for i := range pages {
			seen = append(seen, page+i)
		}
	}
	if err := w.written(m, func(uint64, uint64) {}); err != nil {
		return err
	}
	m[pageSize] = 2
	if err := w.written(m, note); err != nil {
		return err
	}
	if len(seen) != 1 || seen[0] != 1 {
		return fmt.Errorf("of pages 0 and 1, 1 was written, and %v are reported", seen)
	}
	return nil
}

// register makes written possible for a mapping.
func (w *watcher) register(m []byte) error {
	arg := uffdRegisterArg{start: address(m), length: uint64(len(m)), mode: uffdRegisterModeWP}
	if err := ioctl(w.uffd, uffdioRegister, unsafe.Pointer(&arg)); err != nil {
		return fmt.Errorf("watch writes: %w", err)
	}
	return nil
}

// written calls f with the pages of a registered mapping that were written
// through it since the last call. Pages that this mapping lost since are not
// reported: see absent.
func (w *watcher) written(m []byte, f func(page, pages uint64)) error {
	return w.scan(m, pmScanArg{
		flags:        pmScanWPMatching | pmScanCheckWPAync,
		categoryMask: pageIsWritten,
		returnMask:   pageIsWritten,
	}, f)
}

// absent calls f with the pages of a mapping that aren't in its page tables.
func (w *watcher) absent(m []byte, f func(page, pages uint64)) error {
	return w.scan(m, pmScanArg{
		categoryInverted: pageIsPresent,
		categoryMask:     pageIsPresent,
		returnMask:       pageIsPresent,
	}, f)
}

// scan completes arg, but for flags and categories, and calls f with the runs
// of pages that match.
func (w *watcher) scan(m []byte, arg pmScanArg, f func(page, pages uint64)) error {
	first := address(m)
	arg.size = uint64(unsafe.Sizeof(arg))
	arg.start, arg.end = first, first+uint64(len(m))
	arg.vec, arg.vecLen = uint64(uintptr(unsafe.Pointer(&w.regions[0]))), uint64(len(w.regions))
	for arg.start < arg.end {
		n, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(w.pagemap), pagemapScan, uintptr(unsafe.Pointer(&arg)))
		if errno != 0 {
			return os.NewSyscallError("scan pagemap", errno)
		}
		for _, r := range w.regions[:n] {
			f((r.start-first)/pageSize, (r.end-r.start)/pageSize)
		}
		arg.start = arg.walkEnd
	}
	return nil
}

func address(m []byte) uint64 { return uint64(uintptr(unsafe.Pointer(&m[0]))) }
