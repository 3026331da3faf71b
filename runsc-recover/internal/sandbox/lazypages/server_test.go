package lazypages

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sys/unix"

	"gvisor.dev/gvisor/pkg/sentry/memmap"
	"gvisor.dev/gvisor/pkg/sentry/state/checkpointfiles"
	"gvisor.dev/gvisor/pkg/sentry/state/stateio"
	"gvisor.dev/gvisor/pkg/sentry/state/stateipc"
	"gvisor.dev/gvisor/pkg/unet"
	"gvisor.dev/gvisor/pkg/urpc"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/memfile"
	"runsc-recover/checkpoint/pageindex"
)

const testPages = 200

// fakeImage is a checkpoint of random pages, one of which may be damaged.
type fakeImage struct {
	kernel, meta *os.File
	pages        []byte
	bad          atomic.Int64 // page, -1 for none
	closed       atomic.Int32
}

func newFakeImage(t *testing.T) *fakeImage {
	img := &fakeImage{pages: make([]byte, testPages*pageindex.PageSize)}
	for i := range img.pages {
		img.pages[i] = byte(i * 7 / pageindex.PageSize * i)
	}
	for name, f := range map[string]**os.File{"kernel": &img.kernel, "meta": &img.meta} {
		var err error
		if *f, err = memfile.New(name); err == nil {
			_, err = fmt.Fprintf(*f, "the %s", name)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	img.bad.Store(-1)
	return img
}

func (i *fakeImage) Manifest() checkpoint.Manifest { return checkpoint.Manifest{Seq: 1} }

func (i *fakeImage) File(name checkpoint.FileName) *os.File {
	switch name {
	case checkpoint.FileKernel:
		return i.kernel
	case checkpoint.FilePagesMeta:
		return i.meta
	}
	return nil
}

func (i *fakeImage) Pages() checkpoint.PageReader { return i }

func (i *fakeImage) Close() error {
	i.closed.Add(1)
	return errors.Join(i.kernel.Close(), i.meta.Close())
}

func (i *fakeImage) Size() int64 { return int64(len(i.pages)) }

func (i *fakeImage) ReadAt(b []byte, off int64) (int, error) {
	return bytes.NewReader(i.pages).ReadAt(b, off)
}

func (i *fakeImage) ReadPages(b []byte, first uint64, sums []uint64) error {
	if bad := i.bad.Load(); bad >= int64(first) && bad < int64(first)+int64(len(sums)) {
		return fmt.Errorf("%w: page %d", checkpoint.ErrDamaged, bad)
	}
	copy(b, i.pages[first*pageindex.PageSize:])
	for n := range sums {
		sums[n] = xxhash.Sum64(b[n*pageindex.PageSize : (n+1)*pageindex.PageSize])
	}
	return nil
}

// served is a server with a sandbox's end of its socket.
type served struct {
	*Server
	img     *fakeImage
	socket  *unet.Socket
	damages chan error
}

func serveTest(t *testing.T) *served {
	t.Helper()
	s := &served{img: newFakeImage(t), damages: make(chan error, 2)}
	server, client, err := Serve(s.img, func(err error) { s.damages <- err })
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	s.Server = server
	t.Cleanup(s.Stop)
	fd, err := unix.Dup(int(client.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	if s.socket, err = unet.NewSocket(fd); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *served) complete() bool {
	_, ok := s.Loaded()
	return ok
}

// client is gVisor's own.
func (s *served) client(t *testing.T) *stateipc.AsyncFileClient {
	t.Helper()
	c, err := stateipc.NewAsyncFileClient(urpc.NewClient(s.socket))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (s *served) open(t *testing.T, c *stateipc.AsyncFileClient, name string) stateio.AsyncReader {
	t.Helper()
	r, err := c.OpenRead(name)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// memory is a sandbox's memory file.
func memory(t *testing.T) *os.File {
	t.Helper()
	f, err := memfile.New("memory")
	if err == nil {
		err = f.Truncate(2 * testPages * pageindex.PageSize)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestServedFilesAreRead(t *testing.T) {
	s := serveTest(t)
	c := s.client(t)
	for name, want := range map[string]string{
		checkpointfiles.StateFileName:         "the kernel",
		checkpointfiles.PagesMetadataFileName: "the meta",
	} {
		r, err := stateio.NewBufReader(s.open(t, c, name), 8<<20)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		r.Close()
	}
	c.DecRef()
	<-s.Done()
	if s.complete() {
		t.Error("it is loaded without a page")
	}
	if s.img.closed.Load() != 1 {
		t.Error("the image isn't closed")
	}
}

// TestServedPages reads as gVisor does: ranges of the memory file that follow
// each other in the pages file.
func TestServedPages(t *testing.T) {
	s := serveTest(t)
	c := s.client(t)
	r, mem := s.open(t, c, checkpointfiles.PagesFileName), memory(t)
	df, err := r.RegisterDestinationFD(int32(mem.Fd()), 2*testPages*pageindex.PageSize, nil)
	if err != nil {
		t.Fatal(err)
	}
	const page = pageindex.PageSize
	// Every other page of the file, from the back of the image to its front.
	want := make([]byte, 2*testPages*page)
	per := min(r.MaxRanges(), int(r.MaxReadBytes()/page))
	for last := testPages; last > 0; last -= per {
		first := max(0, last-per)
		var frs []memmap.FileRange
		for p := first; p < last; p++ {
			frs = append(frs, memmap.FileRange{Start: uint64(2 * p * page), End: uint64((2*p + 1) * page)})
			copy(want[2*p*page:], s.img.pages[p*page:(p+1)*page])
		}
		total := uint64((last - first) * page)
		r.AddReadv(0, int64(first*page), total, df, frs, nil)
		cs, err := r.Wait(nil, 1)
		if err != nil || !slices.Equal(cs, []stateio.Completion{{ID: 0, N: total}}) {
			t.Fatalf("%v, %v", cs, err)
		}
	}
	got := make([]byte, len(want))
	if _, err := mem.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
		t.Errorf("memory isn't what it was: %v", err)
	}
	r.Close()
	c.DecRef()
	<-s.Done()
	expectLoaded(t, s, mem)
}

// expectLoaded checks the answer of Loaded for every other page of a file.
func expectLoaded(t *testing.T, s *served, mem *os.File) {
	t.Helper()
	l, ok := s.Loaded()
	if !ok || len(l.Files) != 1 || len(l.Sums) != testPages {
		t.Fatalf("loaded %v, %d files, %d sums", ok, len(l.Files), len(l.Sums))
	}
	stat, err := mem.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if l.Files[0].Ino != stat.Sys().(*syscall.Stat_t).Ino {
		t.Error("another file was loaded")
	}
	seen := 0
	for _, r := range l.Files[0].Runs {
		seen += int(r.Pages)
		if r.Pages != 1 || r.Page != 2*r.Place {
			t.Errorf("loaded %+v", r)
		}
	}
	if seen != testPages {
		t.Errorf("%d pages loaded", seen)
	}
	for i, sum := range l.Sums {
		if sum != xxhash.Sum64(s.img.pages[i*pageindex.PageSize:(i+1)*pageindex.PageSize]) {
			t.Errorf("page %d has another hash", i)
		}
	}
}

// TestDamagedPageIsNotServed: there is no answer, and no data.
func TestDamagedPageIsNotServed(t *testing.T) {
	s := serveTest(t)
	s.img.bad.Store(5)
	c := s.client(t)
	r, mem := s.open(t, c, checkpointfiles.PagesFileName), memory(t)
	df, err := r.RegisterDestinationFD(int32(mem.Fd()), 2*testPages*pageindex.PageSize, nil)
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan struct{})
	go func() {
		r.AddRead(0, 0, df, memmap.FileRange{Start: 0, End: 10 * pageindex.PageSize}, nil)
		r.Wait(nil, 1)
		close(answered)
	}()
	if err := <-s.damages; !errors.Is(err, checkpoint.ErrDamaged) {
		t.Errorf("damage: %v", err)
	}
	select {
	case <-answered:
		t.Error("the read was answered")
	case <-time.After(50 * time.Millisecond):
	}
	got := make([]byte, 10*pageindex.PageSize)
	if _, err := mem.ReadAt(got, 0); err != nil || !bytes.Equal(got, make([]byte, len(got))) {
		t.Errorf("something was written: %v", err)
	}
	s.Stop()
	<-answered
	if s.complete() || !errors.Is(s.Damage(), checkpoint.ErrDamaged) || s.img.closed.Load() != 1 {
		t.Errorf("loaded %v, failure %v, closed %d", s.complete(), s.Damage(), s.img.closed.Load())
	}
}

// Requests that gVisor's client would never make are refused, and the server
// lives on.
func TestHostileSandbox(t *testing.T) {
	s := serveTest(t)
	c := s.client(t)
	r := s.open(t, c, checkpointfiles.PagesFileName)
	for _, name := range []string{checkpointfiles.PagesFileName, "../../etc/shadow", ""} {
		if again, err := c.OpenRead(name); err == nil {
			again.Close()
			t.Errorf("%q was opened", name)
		}
	}
	if w, err := c.OpenWrite(checkpointfiles.StateFileName); err == nil {
		w.Close()
		t.Error("a file was opened for writing")
	}
	pipe := make([]int, 2)
	if err := unix.Pipe(pipe); err != nil {
		t.Fatal(err)
	}
	if _, err := r.RegisterDestinationFD(int32(pipe[1]), 0, nil); err == nil {
		t.Error("a pipe is a destination")
	}
	cut := memory(t)
	df, err := r.RegisterDestinationFD(int32(cut.Fd()), 2*testPages*pageindex.PageSize, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := cut.Truncate(0); err != nil {
		t.Fatal(err)
	}
	const page = pageindex.PageSize
	var cs []stateio.Completion
	for id, tc := range []struct {
		off int64
		fr  memmap.FileRange
	}{
		{0, memmap.FileRange{Start: 0, End: page}},                      // into a file that was cut
		{testPages * page, memmap.FileRange{Start: 0, End: page}},       // beyond the end
		{-page, memmap.FileRange{Start: 0, End: page}},                  // before the beginning
		{1, memmap.FileRange{Start: 0, End: page}},                      // not a page
		{(testPages - 1) * page, memmap.FileRange{Start: 0, End: page}}, // the last page
	} {
		r.AddRead(id%2, tc.off, df, tc.fr, nil)
		cs, err := r.Wait(nil, 1)
		if err != nil {
			t.Fatal(err)
		}
		if refused := cs[0].Err != nil; refused != (id > 0 && id < 4) {
			t.Errorf("read %+v: %v", tc, cs)
		}
	}
	for range 2 * testPages { // again and again
		r.AddRead(0, 0, df, memmap.FileRange{Start: 0, End: page}, nil)
		if cs, err = r.Wait(cs[:0], 1); err != nil {
			t.Fatal(err)
		}
	}
	if cs[0].Err == nil {
		t.Error("a page is read without end")
	}
	r.Close()
	c.DecRef()
	<-s.Done()
	if s.complete() || s.Damage() != nil {
		t.Errorf("loaded %v, failure %v", s.complete(), s.Damage())
	}
}

// TestEndlessCall: a sandbox that writes and writes is hung up on.
func TestEndlessCall(t *testing.T) {
	s := serveTest(t)
	endless := append([]byte(`{"method":"`), bytes.Repeat([]byte("x"), maxCall)...)
	for range 4 {
		if _, err := s.socket.Write(endless); err != nil {
			break
		}
	}
	<-s.Done()
}

func FuzzImageCalls(f *testing.F) {
	for _, method := range []string{"Open", "Close", "RegisterClientFile"} {
		call, err := json.Marshal(map[string]any{"method": "AsyncFileServer." + method, "arg": stateipc.OpenRequest{Path: "pages.img", Mode: 1}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(call)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &served{img: newFakeImage(t)}
		server, client, err := Serve(s.img, func(error) { t.Error("damaged") })
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Write(b); err != nil {
			t.Fatal(err)
		}
		client.Close()
		<-server.Done()
	})
}
