package save

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"testing"

	"github.com/cespare/xxhash/v2"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"gvisor.dev/gvisor/pkg/fd"
	"gvisor.dev/gvisor/pkg/hostarch"
	"gvisor.dev/gvisor/pkg/safemem"
	"gvisor.dev/gvisor/pkg/sentry/kernel"
	"gvisor.dev/gvisor/pkg/sentry/pgalloc"
	"gvisor.dev/gvisor/pkg/sentry/platform"
	"gvisor.dev/gvisor/pkg/sentry/platform/systrap"
	"gvisor.dev/gvisor/pkg/sentry/usage"
	"gvisor.dev/gvisor/pkg/state/statefile"
	"gvisor.dev/gvisor/runsc/boot"

	"runsc-recover/checkpoint/memfile"
	"runsc-recover/checkpoint/pageindex"
	"runsc-recover/sentry/capture"
	"runsc-recover/sentry/dirtytrack"
	"runsc-recover/sentry/kerneltest"
	"runsc-recover/sentry/netbuffer"
	"runsc-recover/sentry/wire"
	"runsc-recover/test/expect"
)

// loader is the part of gVisor's that knows containers.
type loader struct{ kernel.Saver }

func (loader) GetContainerSpecs() map[string]*specs.Spec {
	return map[string]*specs.Spec{"web": {Version: "1.2.0"}}
}

// program is a kernel that has memory, without tasks.
type program struct {
	t      *testing.T
	k      *kernel.Kernel
	memory safemem.Block
	first  uint64 // its first page in the memory file
}

const programPages = 64

func newProgram(t *testing.T) program {
	k := kerneltest.New(t, nil)
	k.SetSaver(loader{})
	fr, err := k.MemoryFile().Allocate(programPages*hostarch.PageSize, pgalloc.AllocOpts{Kind: usage.Anonymous})
	if err != nil {
		t.Fatal(err)
	}
	memory, err := k.MemoryFile().MapInternal(fr, hostarch.ReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	return program{t, k, memory.Head(), fr.Start / hostarch.PageSize}
}

// write writes to a page of the program's memory.
func (p program) write(page int, text string) {
	copy(p.memory.ToSlice()[page*hostarch.PageSize:], text)
}

func newFile(t *testing.T) *fd.FD {
	t.Helper()
	f, err := memfile.New("test")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	file, err := fd.NewFromFile(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return file
}

func contents(t *testing.T, f *fd.FD) []byte {
	t.Helper()
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<30))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// request is a checkpoint into new files but for the staged pages.
func (p program) request(seq, parent uint64, staged *fd.FD) Request {
	return Request{
		Kernel:      p.k,
		Checkpoint:  wire.TakeCheckpoint{Seq: seq, Parent: parent},
		Files:       Files{Kernel: newFile(p.t), PagesMeta: newFile(p.t), PageIndex: newFile(p.t), Staged: staged},
		NetworkMode: "sandbox",
		Exclusive:   &sync.Mutex{},
		Network:     func() *netbuffer.Buffer { return nil },
		Stopped:     func() error { return nil },
	}
}

// pages returns how many pages of an index are staged, and how many the
// parent's.
func pages(t *testing.T, r Request) (staged, parent uint64) {
	t.Helper()
	index, err := pageindex.Decode(contents(t, r.Files.PageIndex))
	if err != nil {
		t.Fatal(err)
	}
	for _, run := range index {
		if run.Source == pageindex.Staged {
			staged += run.Pages
		} else {
			parent += run.Pages
		}
	}
	return staged, parent
}

// TestTake takes two checkpoints of a program that changes a page in between.
func TestTake(t *testing.T) {
	p := newProgram(t)
	s, staged := New(), newFile(t)
	for page := range programPages {
		p.write(page, "first")
	}
	first := p.request(1, 0, staged)
	first.Files.Full = newFile(t)
	cost, err := s.Take(first)
	if err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "the program runs", p.k.IsPaused(), false)
	expect.Equal(t, "tracking", cost.Tracking, capture.Contents)
	expect.Equal(t, "times are taken", cost.Stop > 0 && cost.Kernel > 0 && cost.Copy > 0, true)
	copied, named := pages(t, first)
	expect.Equal(t, "all pages are staged", copied >= programPages && named == 0, true)
	expect.Equal(t, "bytes of all pages", uint64(len(contents(t, first.Files.Full))), copied*hostarch.PageSize)

	p.write(7, "second")
	second := p.request(2, 1, staged)
	state := duplicate(t, second.Files.Kernel) // gVisor closes its own
	if _, err := s.Take(second); err != nil {
		t.Fatal(err)
	}
	changed, unchanged := pages(t, second)
	expect.Equal(t, "pages that changed are few", changed > 0 && changed < 8, true)
	expect.Equal(t, "pages in all", changed+unchanged, copied)

	_, meta, err := statefile.NewReader(io.NopCloser(io.NewSectionReader(state, 0, 1<<30)), nil)
	if err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "containers", meta[boot.ContainerCountKey], "1")
	expect.Equal(t, "network", meta[networkKey], "sandbox")
}

func duplicate(t *testing.T, f *fd.FD) *fd.FD {
	t.Helper()
	n, err := unix.Dup(f.FD())
	if err != nil {
		t.Fatal(err)
	}
	d := fd.New(n)
	t.Cleanup(func() { d.Close() })
	return d
}

// TestLoaded: a copy's first checkpoint names the pages of the checkpoint that it
// was restored from, but for those that were changed since.
func TestLoaded(t *testing.T) {
	p := newProgram(t)
	for page := range programPages {
		p.write(page, "contents")
	}
	var stat unix.Stat_t
	if err := unix.Fstat(p.k.MemoryFile().FD(), &stat); err != nil {
		t.Fatal(err)
	}
	f := pageindex.LoadedFile{Dev: uint64(stat.Dev), Ino: stat.Ino}
	f.Add(pageindex.LoadedRun{Page: p.first, Pages: programPages})
	l := pageindex.Loaded{Files: []pageindex.LoadedFile{f}}
	for page := range programPages {
		l.Sums = append(l.Sums, xxhash.Sum64(p.memory.ToSlice()[page*hostarch.PageSize:(page+1)*hostarch.PageSize]))
	}
	list := bytes.NewReader(l.Encode())

	s := New()
	if err := s.Loaded(7, list); !errors.Is(err, ErrNotRestored) {
		t.Errorf("a sandbox that wasn't restored: %v", err)
	}
	expect.Equal(t, "it is being loaded", s.Loading(), false)
	s.SetRestored(p.k)
	expect.Equal(t, "memory that is there is being loaded", s.Loading(), false)
	if err := s.Loaded(7, bytes.NewReader([]byte("no list"))); !errors.Is(err, pageindex.ErrMalformed) {
		t.Errorf("bytes that are no list: %v", err)
	}
	if err := s.Loaded(7, list); err != nil {
		t.Fatal(err)
	}
	p.write(3, "changed")
	r := p.request(9, 7, newFile(t))
	if _, err := s.Take(r); err != nil {
		t.Fatal(err)
	}
	_, named := pages(t, r)
	expect.Equal(t, "pages that are named", named, programPages-1)
}

var errStopped = errors.New("stopped at a failure")

// TestTakeFails: a checkpoint that fails leaves the program running, and the
// next one is taken.
func TestTakeFails(t *testing.T) {
	p := newProgram(t)
	p.write(1, "contents")
	s, staged := New(), newFile(t)
	for _, c := range []struct {
		name   string
		change func(*Request)
		want   func(error) bool
	}{
		{"the sandbox fails", func(r *Request) { r.Stopped = func() error { return errStopped } }, func(err error) bool { return errors.Is(err, errStopped) }},
		{"a kernel without a loader", func(r *Request) { r.Kernel = kerneltest.New(t, nil) }, func(err error) bool { return errors.Is(err, ErrMetadata) }},
		{"an object that can't be saved", func(r *Request) { r.Kernel = unsavable(t) }, func(err error) bool { return err != nil && !IsFull(err) }},
		{"no room for all pages", func(r *Request) { r.Files.Full = full(t) }, IsFull},
		{"no room for the kernel's header", func(r *Request) { r.Files.Kernel = full(t) }, IsFull},
		{"no room for the index", func(r *Request) { r.Files.PageIndex = full(t) }, IsFull},
	} {
		r := p.request(1, 0, staged)
		c.change(&r)
		if _, err := s.Take(r); !c.want(err) {
			t.Errorf("%s: %v", c.name, err)
		}
		expect.Equal(t, c.name+": the program stands still", p.k.IsPaused(), false)
		expect.Equal(t, c.name+": the lock is free", r.Exclusive.(*sync.Mutex).TryLock(), true)
	}
	if _, err := s.Take(p.request(2, 0, newFile(t))); err != nil {
		t.Errorf("a checkpoint after those that failed: %v", err)
	}
}

// unsavable returns a kernel with a task that has no system calls, which gVisor
// can't encode.
func unsavable(t *testing.T) *kernel.Kernel {
	k := kerneltest.New(t, nil)
	k.SetSaver(loader{})
	kerneltest.NewTask(t, k, kerneltest.Task{Name: "program"})
	return k
}

// full returns a file that takes no byte.
func full(t *testing.T) *fd.FD {
	t.Helper()
	f, err := fd.Open("/dev/full", 2, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// TestTrack: a platform is tracked where the host's kernel can, and otherwise
// left as it is.
func TestTrack(t *testing.T) {
	s, plain := New(), &systrap.Systrap{}
	name, tracked := capture.Contents, false
	if dirtytrack.Probe() == nil {
		name, tracked = dirtytrack.Name, true
	}
	for range 2 { // gVisor makes a platform once more when a copy is loaded
		expect.Equal(t, "platform is wrapped", s.Track(plain) != platform.Platform(plain), tracked)
		expect.Equal(t, "tracking", s.capturer.Tracking(), name)
	}
}
