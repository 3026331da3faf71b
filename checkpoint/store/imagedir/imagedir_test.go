package imagedir

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/cespare/xxhash/v2"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/pageindex"
	"runsc-recover/test/expect"
)

// testImage writes an image of two pages.
func testImage(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, b := range map[checkpoint.FileName][]byte{
		checkpoint.FileKernel:    []byte("kernel"),
		checkpoint.FilePagesMeta: []byte("metadata"),
		checkpoint.FilePages:     append(bytes.Repeat([]byte{1}, pageindex.PageSize), bytes.Repeat([]byte{2}, pageindex.PageSize)...),
	} {
		if err := os.WriteFile(filepath.Join(dir, string(name)), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestOpen(t *testing.T) {
	img, err := Open(testImage(t))
	if err != nil {
		t.Fatal(err)
	}
	kernel, err := io.ReadAll(img.File(checkpoint.FileKernel))
	expect.Equal(t, "error", err, nil)
	expect.Equal(t, "kernel", string(kernel), "kernel")
	expect.Equal(t, "index", img.File(checkpoint.FilePageIndex), nil)
	expect.Equal(t, "number", img.Manifest().Seq, 0)
	pages := img.Pages()
	expect.Equal(t, "size", pages.Size(), 2*pageindex.PageSize)
	b, sums := make([]byte, pageindex.PageSize), make([]uint64, 1)
	expect.Equal(t, "read", pages.ReadPages(b, 1, sums), nil)
	expect.Equal(t, "byte", b[0], 2)
	expect.Equal(t, "hash", sums[0], xxhash.Sum64(b))
	err = pages.ReadPages(make([]byte, 2*pageindex.PageSize), 1, make([]uint64, 2))
	expect.Equal(t, "beyond the last page", errors.Is(err, checkpoint.ErrDamaged), true)
	expect.Equal(t, "close", img.Close(), nil)
	expect.Equal(t, "second close", img.Close(), nil)
}

func TestOpenIncomplete(t *testing.T) {
	dir := testImage(t)
	if err := os.Remove(filepath.Join(dir, string(checkpoint.FilePages))); err != nil {
		t.Fatal(err)
	}
	_, err := Open(dir)
	expect.Equal(t, "error", errors.Is(err, os.ErrNotExist), true)
}
