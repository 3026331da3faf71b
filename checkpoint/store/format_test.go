package store

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/pageindex"
	"runsc-recover/test/expect"
)

// testdata/manifest-3 is a store that commit 229fdff wrote: checkpoint 1 of 40
// pages, 2 over 1 with two pages changed, one of which can't be compressed, 3
// over 2 with seven pages, checkpoint 1 removed, and 5 without a parent.
// Stores like it are on disks: a change that can't read it is a change of the
// format, and takes another checkpoint.ManifestVersion.
const goldenStore = "testdata/manifest-3"

// goldenPages are the first bytes of each page; goldenNoise stands for the page
// that can't be compressed.
const goldenNoise = 0xff

func goldenPages() map[checkpoint.Seq][]byte {
	second := make([]byte, 40)
	for i := range second {
		second[i] = byte(i)
	}
	second[18], second[19] = goldenNoise, 101
	return map[checkpoint.Seq][]byte{
		2: second,
		3: {200, 17, goldenNoise, 101, 20, 21, 201},
		5: {7, 8, 9},
	}
}

// goldenPage is the contents of a page.
func goldenPage(first byte) []byte {
	if first != goldenNoise {
		return bytes.Repeat([]byte{first}, pageindex.PageSize)
	}
	random := rand.New(rand.NewPCG(100, 1))
	b := make([]byte, pageindex.PageSize)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

func openGolden(t *testing.T) *Disk {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	if err := os.CopyFS(dir, os.DirFS(goldenStore)); err != nil {
		t.Fatal(err)
	}
	return openTest(t, dir, testOptions)
}

func expectGolden(t *testing.T, s *Disk, seq checkpoint.Seq, pages []byte) {
	t.Helper()
	img, err := s.Open(context.Background(), seq)
	if err != nil {
		t.Error(err)
		return
	}
	defer img.Close()
	for name, want := range map[checkpoint.FileName][]byte{
		checkpoint.FileKernel:    bytes.Repeat([]byte{'k', byte(seq)}, 3000),
		checkpoint.FilePagesMeta: bytes.Repeat([]byte{'m', byte(seq)}, 100),
	} {
		if got, err := io.ReadAll(img.File(name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s of checkpoint %d: %d bytes, %v", name, seq, len(got), err)
		}
	}
	expect.Equal(t, "size", img.Pages().Size(), int64(len(pages)*pageindex.PageSize))
	b := make([]byte, pageindex.PageSize)
	for i, first := range pages {
		if err := img.Pages().ReadPages(b, uint64(i), make([]uint64, 1)); err != nil || !bytes.Equal(b, goldenPage(first)) {
			t.Errorf("page %d of checkpoint %d: %v", i, seq, err)
		}
	}
}

// A store of this format opens, and can be written and compacted.
func TestGoldenStore(t *testing.T) {
	s := openGolden(t)
	good, bad, err := s.List(t.Context())
	if err != nil || len(bad) > 0 || len(good) != 3 {
		t.Fatalf("listed %v, %v, %v", good, bad, err)
	}
	expect.Equal(t, "parent", good[1].Parent, 2)
	expect.Equal(t, "run time", good[1].RunTime.String(), "1s")
	for seq, pages := range goldenPages() {
		expectGolden(t, s, seq, pages)
		expect.Equal(t, "verify", s.Verify(t.Context(), seq), nil)
	}
	if err := write(s, 6); err != nil {
		t.Error(err)
	}
	expect.Equal(t, "compact", s.Compact(t.Context()), nil)
	for seq, pages := range goldenPages() {
		expectGolden(t, s, seq, pages)
	}
}

// The manifests and indexes that the store writes are those of the format, byte
// for byte. Frames are left to the compressor, whose next version may find a
// shorter form.
func TestGoldenEncoding(t *testing.T) {
	for seq := range goldenPages() {
		manifest, err := os.ReadFile(filepath.Join(goldenStore, dirName(seq), manifestName))
		if err != nil {
			t.Fatal(err)
		}
		m, err := decodeManifest(manifest)
		if err != nil {
			t.Fatal(err)
		}
		again, err := encodeManifest(m)
		expect.Equal(t, "error", err, nil)
		expect.Equal(t, "manifest", string(again), string(manifest))
		index, err := os.ReadFile(filepath.Join(goldenStore, dirName(seq), string(checkpoint.FilePageIndex)))
		if err != nil {
			t.Fatal(err)
		}
		runs, err := pageindex.Decode(index)
		expect.Equal(t, "error", err, nil)
		expect.Equal(t, "index", string(pageindex.AppendTo(nil, runs)), string(index))
	}
}
