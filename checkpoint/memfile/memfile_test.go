package memfile

import (
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"runsc-recover/test/expect"
)

func open(t *testing.T, name string) *os.File {
	t.Helper()
	f, err := New(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestNewFile(t *testing.T) {
	f := open(t, "pages")
	stat, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "size", stat.Size(), 0)
	expect.Equal(t, "regular", stat.Mode().IsRegular(), true)
	flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0)
	expect.Equal(t, "error", err, nil)
	expect.Equal(t, "closed on exec", flags&unix.FD_CLOEXEC, unix.FD_CLOEXEC)
	// A file of the same name is another file.
	other := open(t, "pages")
	otherStat, err := other.Stat()
	expect.Equal(t, "error", err, nil)
	expect.Equal(t, "same file", os.SameFile(stat, otherStat), false)
}

// A name that is too long is an error and leaves no descriptor.
func TestNewFileRefusesLongName(t *testing.T) {
	f, err := New(strings.Repeat("x", 250))
	if err == nil {
		f.Close()
		t.Error("a name of 250 bytes was taken")
	}
}

func TestReopen(t *testing.T) {
	f := open(t, "contents")
	if _, err := f.WriteString("first second"); err != nil {
		t.Fatal(err)
	}
	again, err := Reopen(f)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if _, err := again.WriteAt([]byte("x"), 0); err == nil {
		t.Error("the file opened again can be written")
	}
	f.Close()
	got, err := io.ReadAll(again)
	expect.Equal(t, "error", err, nil)
	expect.Equal(t, "contents", string(got), "first second")
	if _, err := Reopen(f); err == nil {
		t.Error("a closed file was opened again")
	}
}
