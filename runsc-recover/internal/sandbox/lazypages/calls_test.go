package lazypages

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"gvisor.dev/gvisor/pkg/sentry/memmap"
	"gvisor.dev/gvisor/pkg/sentry/state/checkpointfiles"

	"runsc-recover/checkpoint/memfile"
	"runsc-recover/checkpoint/pageindex"
	"runsc-recover/test/expect"
)

// send sends bytes, with files, as a sandbox's first packet of a call.
func (s *served) send(t *testing.T, text string, files ...int) {
	t.Helper()
	w := s.socket.Writer(true)
	w.PackFDs(files...)
	if n, err := w.WriteVec([][]byte{[]byte(text)}); err != nil || n != len(text) {
		t.Fatalf("sent %d of %d bytes: %v", n, len(text), err)
	}
}

// callRaw makes a call from its text and returns the answer.
func (s *served) callRaw(t *testing.T, text string, files ...int) (answer struct {
	Success bool
	Err     string
	Result  map[string]any
}) {
	t.Helper()
	s.send(t, text, files...)
	if err := json.NewDecoder(s.socket).Decode(&answer); err != nil {
		t.Fatalf("%.80s: %v", text, err)
	}
	return answer
}

// descriptors is the number of this process's descriptors of a file.
func descriptors(t *testing.T, f *os.File) (n int) {
	t.Helper()
	want, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	open, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range open {
		if got, err := os.Stat(path); err == nil && os.SameFile(want, got) {
			n++
		}
	}
	return n
}

// Calls that gVisor's client would never make are refused one by one, and leave
// no descriptor behind.
func TestCallsRefused(t *testing.T) {
	s := serveTest(t)
	mem := memory(t)
	fd := int(mem.Fd())
	open := `{"method":"AsyncFileServer.Open","arg":{"path":"` + checkpointfiles.PagesFileName + `","mode":1}}`
	handle := s.callRaw(t, open)
	expect.Equal(t, "pages file is open", handle.Success, true)
	for _, c := range []struct {
		name, call string
		files      []int
	}{
		{"no method", `{}`, nil},
		{"an unknown method", `{"method":"AsyncFileServer.Destroy","arg":{}}`, nil},
		{"a method of another server", `{"method":"containerManager.StartSubcontainer","arg":{}}`, nil},
		{"an argument of another type", `{"method":"AsyncFileServer.Open","arg":[1]}`, nil},
		{"no argument", `{"method":"AsyncFileServer.Open"}`, nil},
		{"an unknown mode", `{"method":"AsyncFileServer.Open","arg":{"path":"` + checkpointfiles.StateFileName + `","mode":9}}`, nil},
		{"a file to write", `{"method":"AsyncFileServer.Open","arg":{"path":"` + checkpointfiles.StateFileName + `","mode":2}}`, nil},
		{"an open file", open, nil},
		{"a file outside the image", `{"method":"AsyncFileServer.Open","arg":{"path":"/etc/shadow","mode":1}}`, nil},
		{"another handle", `{"method":"AsyncFileServer.Close","arg":{"handle":77}}`, nil},
		{"a handle that is no number", `{"method":"AsyncFileServer.Close","arg":{"handle":-1}}`, nil},
		{"no file to fill", `{"method":"AsyncFileServer.RegisterClientFile","arg":{"handle":0,"writable":true}}`, nil},
		{"a file for another handle", `{"method":"AsyncFileServer.RegisterClientFile","arg":{"handle":9,"writable":true}}`, []int{fd}},
		{"a file that isn't to be filled", `{"method":"AsyncFileServer.RegisterClientFile","arg":{"handle":0}}`, []int{fd}},
		{"a range beyond the file", `{"method":"AsyncFileServer.RegisterClientFile","arg":{"handle":0,"writable":true,"size":4096,"settings":[{"Start":0,"End":8192}]}}`, []int{fd}},
		{"a range of a file without a size", `{"method":"AsyncFileServer.RegisterClientFile","arg":{"handle":0,"writable":true,"settings":[{"Start":0,"End":4096}]}}`, []int{fd}},
		{"more files than a call has", `{"method":"AsyncFileServer.Open","arg":{"path":"none","mode":1}}`, []int{fd, fd, fd, fd}},
	} {
		answer := s.callRaw(t, c.call, c.files...)
		expect.Equal(t, c.name+": is done", answer.Success, false)
		expect.Equal(t, c.name+": has an error", answer.Err != "", true)
	}
	closed := s.callRaw(t, `{"method":"AsyncFileServer.Close","arg":{"handle":0}}`)
	expect.Equal(t, "the pages file is closed", closed.Success, true)
	s.Stop()
	expect.Equal(t, "descriptors that are left", descriptors(t, mem), 1)
}

// Bytes that aren't a call end the conversation, and with it the image.
func TestNoCalls(t *testing.T) {
	for name, text := range map[string]string{
		"garbage":                   "\x00\xff\x17 call",
		"another JSON value":        `["AsyncFileServer.Open"]`,
		"a method that is no text":  `{"method":{}}`,
		"deep nesting":              strings.Repeat("[", 100_000),
		"a call without an end":     `{"method":"`,
		"half a call":               `{"method":"AsyncFileServer.Op`,
		"an end without a start":    `}`,
		"a text that isn't Unicode": "{\"method\":\xff}",
	} {
		s := serveTest(t)
		fd := int(memory(t).Fd())
		s.send(t, text, fd)
		s.socket.Close()
		<-s.Done()
		_, ok := s.Loaded()
		expect.Equal(t, name+": loaded", ok, false)
		expect.Equal(t, name+": damage", s.Damage(), nil)
		expect.Equal(t, name+": closed", s.img.closed.Load(), 1)
	}
}

// A sandbox that hangs up, or never calls, ends with Stop, which may come twice.
func TestStop(t *testing.T) {
	s := serveTest(t)
	s.Stop()
	s.Stop()
	expect.Equal(t, "closed", s.img.closed.Load(), 1)
	if _, err := io.ReadAll(s.socket); err != nil {
		t.Error(err)
	}
}

// A call in two halves, and two calls in one write: the socket is a stream.
func TestCallsAreAStream(t *testing.T) {
	s := serveTest(t)
	one := `{"method":"AsyncFileServer.Close","arg":{"handle":5}}`
	s.send(t, one[:20])
	answer := s.callRaw(t, one[20:])
	expect.Equal(t, "halves: answered", strings.Contains(answer.Err, "handle"), true)
}

// Reads beyond an image are refused as the sandbox's fault and not the image's,
// and each page is read once.
func TestPageSourceIsBounded(t *testing.T) {
	const page = pageindex.PageSize
	img := newFakeImage(t)
	for _, c := range []struct {
		name string
		size int
		off  int64
		want error
	}{
		{"the first page", page, 0, nil},
		{"the last page", page, (testPages - 1) * page, nil},
		{"nothing", 0, 0, nil},
		{"the page behind the last", page, testPages * page, errHostile},
		{"two pages from the last on", 2 * page, (testPages - 1) * page, errHostile},
		{"the page before the first", page, -page, errHostile},
		{"far before", page, math.MinInt64, errHostile},
		{"part of a page", page / 2, 0, errHostile},
		{"a page and a byte", page + 1, 0, errHostile},
		{"from inside a page on", page, 1, errHostile},
	} {
		source := newPageSource(img)
		n, err := source.read(make([]byte, c.size), c.off)
		if !errors.Is(err, c.want) || err == nil && n != c.size {
			t.Errorf("%s: read %d bytes, %v", c.name, n, err)
		}
	}
	source := newPageSource(img)
	for i := range testPages {
		if _, err := source.read(make([]byte, page), int64(i%2*page)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := source.read(make([]byte, page), 0); !errors.Is(err, errHostile) {
		t.Errorf("more reads than pages: %v", err)
	}
}

// Only files in memory are filled, and not more than a sandbox can need.
func TestDestinationsAreBounded(t *testing.T) {
	r := &reader{}
	defer r.Close()
	pipe := make([]int, 2)
	if err := unix.Pipe2(pipe, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])
	disk, err := os.Create(t.TempDir() + "/file")
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	for name, fd := range map[string]int{"a pipe": pipe[1], "a file on disk": int(disk.Fd()), "no file": -1, "a closed file": 1 << 20} {
		if _, err := r.RegisterDestinationFD(int32(fd), 0, nil); !errors.Is(err, errHostile) {
			t.Errorf("%s: %v", name, err)
		}
	}
	mem := int32(memory(t).Fd())
	for range maxDestinations {
		if _, err := r.RegisterDestinationFD(mem, 0, nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.RegisterDestinationFD(mem, 0, nil); !errors.Is(err, errHostile) {
		t.Errorf("one more: %v", err)
	}
}

// Short data fills the beginning of the ranges, sealed and cut files give an
// error, and none of it reaches beyond the ranges.
func TestFill(t *testing.T) {
	const page = pageindex.PageSize
	data := bytes.Repeat([]byte{7}, 2*page)
	ranges := []memmap.FileRange{{Start: 2 * page, End: 3 * page}, {Start: 0, End: page}}
	for _, c := range []struct {
		name string
		data []byte
		want []int // filled bytes of each page of the file
	}{
		{"all", data, []int{page, 0, page}},
		{"short", data[:page+10], []int{10, 0, page}},
		{"none", nil, []int{0, 0, 0}},
		{"more than the ranges", append(data, data...), []int{page, 0, page}},
	} {
		f, err := memfile.New("memory")
		if err == nil {
			err = f.Truncate(3 * page)
		}
		if err == nil {
			err = fill(int(f.Fd()), ranges, c.data)
		}
		got := make([]byte, 3*page)
		if err == nil {
			_, err = f.ReadAt(got, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range c.want {
			expect.Equal(t, c.name, bytes.Count(got[i*page:(i+1)*page], []byte{7}), want)
		}
		f.Close()
	}
	sealed := memory(t)
	if _, err := unix.FcntlInt(sealed.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE); err == nil {
		if err := fill(int(sealed.Fd()), ranges, data); err == nil {
			t.Error("a sealed file was filled")
		}
	}
}
