package runsc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gvisor.dev/gvisor/runsc/boot"
	gvsandbox "gvisor.dev/gvisor/runsc/sandbox"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/memfile"
	"runsc-recover/checkpoint/pageindex"
	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/runsc-recover/internal/sandbox/lazypages"
	"runsc-recover/sentry/wire"
	"runsc-recover/test/expect"
)

// fakeImage is an image with one file for kernel and metadata.
type fakeImage struct {
	file   *os.File
	whole  *os.File // all pages in one file, nil for none
	pages  []byte
	err    error         // of reading pages
	closed chan struct{} // closed by Close, once
}

func newImage(t *testing.T, pages int) *fakeImage {
	t.Helper()
	f, err := memfile.New("kernel")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	b := make([]byte, pages*pageindex.PageSize)
	for i := range b {
		b[i] = byte(i / pageindex.PageSize)
	}
	return &fakeImage{file: f, pages: b, closed: make(chan struct{})}
}

func (i *fakeImage) Manifest() checkpoint.Manifest { return checkpoint.Manifest{Seq: 5} }

func (i *fakeImage) File(name checkpoint.FileName) *os.File {
	if name == checkpoint.FilePages {
		return i.whole
	}
	return i.file
}

func (i *fakeImage) Pages() checkpoint.PageReader { return i }
func (i *fakeImage) Close() error                 { close(i.closed); return nil }
func (i *fakeImage) Size() int64                  { return int64(len(i.pages)) }

func (i *fakeImage) ReadAt(b []byte, off int64) (int, error) {
	return bytes.NewReader(i.pages).ReadAt(b, off)
}

func (i *fakeImage) ReadPages(b []byte, first uint64, sums []uint64) error {
	if len(b) != len(sums)*pageindex.PageSize {
		return fmt.Errorf("%d bytes for %d pages", len(b), len(sums))
	}
	copy(b, i.pages[first*pageindex.PageSize:])
	return i.err
}

// controlSocket is gVisor's control socket in the hands of a sandbox that was
// taken over: answer is called with each connection.
func controlSocket(t *testing.T, f *fakeSandbox, answer func(net.Conn)) {
	t.Helper()
	f.sb = &gvsandbox.Sandbox{ControlSocketPath: filepath.Join(t.TempDir(), "control")}
	f.c.Sandbox = f.sb
	l, err := net.Listen("unix", f.sb.ControlSocketPath)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			answer(c)
		}
	}()
}

// Whatever a sandbox answers to a restore, it ends in time with an error, and
// the image is closed.
func TestRestoreOfAHostileSandbox(t *testing.T) {
	discard := func(c net.Conn) { _, _ = c.Read(make([]byte, 1<<16)) }
	for name, answer := range map[string]func(net.Conn){
		"hangs up":      func(c net.Conn) { c.Close() },
		"says nothing":  func(net.Conn) {},
		"talks garbage": func(c net.Conn) { discard(c); fmt.Fprint(c, "\x00\xff"); c.Close() },
		"fails":         func(c net.Conn) { discard(c); fmt.Fprint(c, `{"success":false,"err":"no"}`) },
		"answers with another type": func(c net.Conn) {
			discard(c)
			fmt.Fprint(c, `["success"]`)
		},
		"answers the first call alone": func(c net.Conn) { discard(c); fmt.Fprint(c, `{"success":true,"result":null}`) },
	} {
		t.Run(name, func(t *testing.T) {
			f, img := newFake(t, nil), newImage(t, 3)
			f.network = &boot.CreateLinksAndRoutesArgs{}
			controlSocket(t, f, answer)
			close(f.gone) // as listen does
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			err := f.Restore(ctx, img)
			if err == nil {
				t.Error("restored")
			}
			<-img.closed
			select {
			case <-f.started:
				t.Error("there is a program to wait for")
			default:
			}
		})
	}
}

// An image is closed when the restore doesn't get as far as its sandbox.
func TestRestoreWithoutASandbox(t *testing.T) {
	f, img := newFake(t, nil), newImage(t, 1)
	f.network = "another driver's"
	if err := f.Restore(t.Context(), img); err == nil {
		t.Error("restored with another driver's network")
	}
	<-img.closed

	f, img = newFake(t, nil), newImage(t, 1)
	f.network = &boot.CreateLinksAndRoutesArgs{}
	f.c.Sandbox = nil // as gVisor's Destroy leaves it
	err := f.Restore(t.Context(), img)
	expect.Equal(t, "a sandbox that was destroyed", errors.Is(err, sandbox.ErrGone), true)
	<-img.closed
}

// A copy that doesn't load all pages learns nothing, and isn't waited for.
func TestCopyThatIsNotLoaded(t *testing.T) {
	f, img := newFake(t, nil), newImage(t, 1)
	expect.Equal(t, "a sandbox that isn't a copy", f.Loaded(t.Context()), nil)

	server, client, err := lazypages.Serve(img, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	f.keepPages(server)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	expect.Equal(t, "a copy that is loading", errors.Is(f.Loaded(ctx), context.Canceled), true)
	client.Close()
	f.adopt(server)
	expect.Equal(t, "a copy that hung up", errors.Is(f.Loaded(t.Context()), sandbox.ErrGone), true)
	expect.Equal(t, "requests", len(f.asked()), 0)
	_, err = f.Checkpoint(t.Context(), 1, fakeStaging{file: img.file})
	expect.Equal(t, "its checkpoint", errors.Is(err, sandbox.ErrGone), true)
	f.stopPages()
	<-img.closed
}

// Pages are served for as long as the sandbox is there.
func TestPagesEndWithTheSandbox(t *testing.T) {
	f, img := newFake(t, nil), newImage(t, 1)
	server, client, err := lazypages.Serve(img, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	close(f.gone)
	f.keepPages(server)
	<-img.closed
}

// A damaged checkpoint is reported, whichever request meets it.
func TestDamageIsReported(t *testing.T) {
	f := newFake(t, nil)
	f.damaged(checkpoint.ErrDamaged)
	e := <-f.heard
	expect.Equal(t, "damage", errors.Is(e.Damaged, checkpoint.ErrDamaged), true)
	expect.Equal(t, "container", e.Container, "")
}

// All pages of an image are in one file, which is the image's own where it has
// one.
func TestPagesFile(t *testing.T) {
	for _, pages := range []int{0, 1, copiedAtOnce / pageindex.PageSize, copiedAtOnce/pageindex.PageSize + 1, 200} {
		img := newImage(t, pages)
		f, err := pagesFile(img)
		if err != nil {
			t.Fatal(err)
		}
		expect.Equal(t, fmt.Sprint(pages, " pages"), contents(t, f) == string(img.pages), true)
		f.Close()
	}
	img := newImage(t, 3)
	img.err = checkpoint.ErrDamaged
	_, err := pagesFile(img)
	expect.Equal(t, "damage", errors.Is(err, checkpoint.ErrDamaged), true)

	whole := newImage(t, 0)
	whole.whole = whole.file
	if _, err := whole.file.WriteString("pages"); err != nil {
		t.Fatal(err)
	}
	f, err := pagesFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	expect.Equal(t, "an image with one file", contents(t, f), "pages")
}

// gVisor finds an image's files by its names, in a directory that is removed
// with the sandbox at the latest.
func TestLinkImage(t *testing.T) {
	f, img := newFake(t, nil), newImage(t, 2)
	if _, err := img.file.WriteString("the kernel"); err != nil {
		t.Fatal(err)
	}
	pages, err := pagesFile(img)
	if err != nil {
		t.Fatal(err)
	}
	defer pages.Close()
	dir, err := f.linkImage(img, pages)
	if err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "directory", filepath.Dir(dir), f.root)
	for name, want := range map[checkpoint.FileName]string{
		checkpoint.FileKernel: "the kernel", checkpoint.FilePagesMeta: "the kernel", checkpoint.FilePages: string(img.pages),
	} {
		got, err := os.ReadFile(filepath.Join(dir, string(name)))
		if err != nil || string(got) != want {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	f.root = filepath.Join(f.root, "none")
	if dir, err := f.linkImage(img, pages); err == nil {
		t.Errorf("linked in %s", dir)
	}
}

// A call of gVisor's ends in time, and its error says whether there is still a
// sandbox.
func TestCallsAreBounded(t *testing.T) {
	f := newFake(t, nil)
	never := make(chan struct{})
	defer close(never)
	err := f.bounded(t.Context(), time.Millisecond, "wait", func() error { <-never; return nil })
	expect.Equal(t, "a call without an end", errors.Is(err, context.DeadlineExceeded), true)
	expect.Equal(t, "a call", f.bounded(t.Context(), time.Minute, "succeed", func() error { return nil }), nil)
	close(f.gone)
	err = f.bounded(t.Context(), time.Minute, "fail", func() error { return errors.New("broken pipe") })
	expect.Equal(t, "a call to a sandbox that is gone", errors.Is(err, sandbox.ErrGone), true)
	_, err = f.ask(t.Context(), time.Minute, wire.Request{Verb: wire.VerbMemory, Memory: 1})
	expect.Equal(t, "a request", err, nil)
}
