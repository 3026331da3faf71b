package pageindex

import (
	"encoding/binary"
	"fmt"
)

// Loaded is the places at which a sandbox that was restored from a checkpoint
// has its pages. A page that the sandbox no longer wanted has no place.
type Loaded struct {
	Files []LoadedFile
	// Sums are the XXH64 of the checkpoint's pages, by their place in its pages
	// file; 0 for a page that was loaded nowhere.
	Sums []uint64
}

// LoadedFile is a memory file, named by its device and inode.
type LoadedFile struct {
	Dev, Ino uint64
	Runs     []LoadedRun
}

// LoadedRun is a number of pages that follow each other in a memory file and in
// the pages file.
type LoadedRun struct {
	Page  uint64 // of the memory file
	Place uint64 // in the pages file
	Pages uint64
}

// Add notes pages of a checkpoint that were loaded.
func (f *LoadedFile) Add(r LoadedRun) {
	if n := len(f.Runs); n > 0 {
		last := &f.Runs[n-1]
		if last.Page+last.Pages == r.Page && last.Place+last.Pages == r.Place {
			last.Pages += r.Pages
			return
		}
	}
	f.Runs = append(f.Runs, r)
}

// Encode returns l as numbers of 8 bytes, little-endian: the number of files,
// and of each its Dev, Ino, number of runs and their Page, Place and Pages; the
// number of sums, and the sums.
func (l *Loaded) Encode() []byte {
	words := 2 + len(l.Sums)
	for _, f := range l.Files {
		words += 3 + 3*len(f.Runs)
	}
	b := make([]byte, 0, 8*words) // 2 MiB for each GiB of memory, so no more than once
	add := func(words ...uint64) {
		for _, w := range words {
			b = binary.LittleEndian.AppendUint64(b, w)
		}
	}
	add(uint64(len(l.Files)))
	for _, f := range l.Files {
		add(f.Dev, f.Ino, uint64(len(f.Runs)))
		for _, r := range f.Runs {
			add(r.Page, r.Place, r.Pages)
		}
	}
	add(uint64(len(l.Sums)))
	add(l.Sums...)
	return b
}

// DecodeLoaded is the inverse of Encode. Its result is consistent: all places
// have sums, and no page overflows. Errors: ErrMalformed.
func DecodeLoaded(b []byte) (Loaded, error) {
	d := loadedDecoder{rest: b}
	var l Loaded
	for range d.count(3) {
		f := LoadedFile{Dev: d.word(), Ino: d.word()}
		for range d.count(3) {
			f.Runs = append(f.Runs, LoadedRun{Page: d.word(), Place: d.word(), Pages: d.word()})
		}
		l.Files = append(l.Files, f)
	}
	l.Sums = make([]uint64, d.count(1))
	for i := range l.Sums {
		l.Sums[i] = d.word()
	}
	if d.bad || len(d.rest) > 0 {
		return Loaded{}, fmt.Errorf("%w: %d bytes of loaded pages", ErrMalformed, len(b))
	}
	for _, f := range l.Files {
		for _, r := range f.Runs {
			if max(r.Page, r.Place, r.Pages) > maxPage || r.Place+r.Pages > uint64(len(l.Sums)) {
				return Loaded{}, fmt.Errorf("%w: loaded pages %+v of %d", ErrMalformed, r, len(l.Sums))
			}
		}
	}
	return l, nil
}

type loadedDecoder struct {
	rest []byte
	bad  bool
}

func (d *loadedDecoder) word() uint64 {
	if len(d.rest) < 8 {
		d.bad = true
		return 0
	}
	w := binary.LittleEndian.Uint64(d.rest)
	d.rest = d.rest[8:]
	return w
}

// count reads a number of items, each of which takes at least so many words.
func (d *loadedDecoder) count(words int) uint64 {
	n := d.word()
	if n > uint64(len(d.rest)/8/words) {
		d.bad = true
		return 0
	}
	return n
}
