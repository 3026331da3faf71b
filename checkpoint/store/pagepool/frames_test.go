package pagepool

import (
	"os"
	"path/filepath"
	"testing"

	"runsc-recover/checkpoint/pageset"
	"runsc-recover/checkpoint/store/diskfs"
	"runsc-recover/checkpoint/store/frame"
)

// FuzzSegment: whatever a segment's file holds, reading it is bounded, and
// what it says of itself holds together.
func FuzzSegment(f *testing.F) {
	c, err := frame.NewCodec()
	if err != nil {
		f.Fatal(err)
	}
	dir := f.TempDir()
	d := &diskBacking{fs: diskfs.Host{}, dir: dir, temp: func() string { return filepath.Join(dir, "new") }}
	p := newPool(d, c)
	f.Cleanup(p.Close)
	from, err := os.Create(filepath.Join(dir, "from"))
	if err != nil {
		f.Fatal(err)
	}
	if _, err := from.WriteAt(make([]byte, 40*pageSize), 0); err != nil {
		f.Fatal(err)
	}
	if _, _, err := p.Add(f.Context(), from, 40, func(_, _ uint64) {}); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(d.path(1))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(d.path(2), data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, _, err := d.load(2, p)
		if err != nil {
			return
		}
		defer s.f.Close()
		var all pageset.Set
		all.Add(0, uint64(len(s.sums)))
		_ = s.verify(t.Context(), &all, make([]byte, chunkPages*pageSize))
	})
}
