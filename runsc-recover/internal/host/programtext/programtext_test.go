package programtext

import (
	"slices"
	"strings"
	"testing"
)

func TestConstantRanges(t *testing.T) {
	const maps = `00400000-01664000 r-xp 00000000 fe:00 10486304                           /opt/a b/program
01664000-02e7e000 r--p 01264000 fe:00 10486304                           /opt/a b/program
02e7e000-02f17000 rw-p 02a7e000 fe:00 10486304                           /opt/a b/program
02f17000-04f67000 rw-p 00000000 00:00 0
7f9c58200000-7f9c58400000 r--s 00000000 fe:00 10167958                   /opt/a
7f9d277b6000-7f9d277b8000 r-xp 00000000 00:00 0                          [vdso]
`
	got, err := constantRanges(strings.NewReader(maps), "/opt/a b/program")
	if err != nil {
		t.Fatal(err)
	}
	if want := []addressRange{{0x400000, 0x1664000}, {0x1664000, 0x2e7e000}}; !slices.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
	if _, err := constantRanges(strings.NewReader("x-y r--p 0 0 0 /p"), "/p"); err == nil {
		t.Error("no error for what isn't a range")
	}
}

// TestRunsUnmapped: the test program goes on from the page cache.
func TestRunsUnmapped(t *testing.T) {
	for range 3 {
		if err := Unmap(); err != nil {
			t.Fatal(err)
		}
	}
}
