package store

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/pageindex"
	"runsc-recover/checkpoint/store/pagepool"
)

// TestDaysOfCheckpoints: whatever a program writes, files stay within their
// bounds, and the checkpoints kept are right.
func TestDaysOfCheckpoints(t *testing.T) {
	for name, s := range map[string]checkpoint.Store{"memory": NewMemory(testOptions), "disk": openTest(t, t.TempDir(), testOptions)} {
		t.Run(name, func(t *testing.T) {
			defer s.Close()
			d := &days{s: s, random: rand.New(rand.NewPCG(3, 4)), pages: make([]byte, 2000)}
			for i := range d.pages {
				d.pages[i] = byte(i)
			}
			for seq := checkpoint.Seq(1); seq <= 400; seq++ {
				d.publish(t, seq)
				if seq > 4 {
					// Every twentieth checkpoint stays a long time.
					if old := seq - 4; old%20 != 0 {
						d.remove(t, old)
					}
					if old := seq - 100; seq > 100 && old%20 == 0 {
						d.remove(t, old)
					}
				}
			}
			d.expectBounded(t)
		})
	}
}

// days is a program whose pages change, each holding one byte's value.
type days struct {
	s      checkpoint.Store
	random *rand.Rand
	pages  []byte
}

func (d *days) publish(t *testing.T, seq checkpoint.Seq) {
	t.Helper()
	st, err := d.s.Stage(context.Background(), seq-1)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Discard()
	var index []pageindex.Run
	var staged []byte
	for i := range d.pages {
		if st.Parent() != 0 && d.random.IntN(40) > 0 {
			index = pageindex.Append(index, pageindex.Run{Page: uint64(i), Pages: 1})
			continue
		}
		d.pages[i] = byte(d.random.Uint32())
		index = pageindex.Append(index, pageindex.Run{Source: pageindex.Staged, Page: uint64(len(staged) / pageindex.PageSize), Pages: 1})
		staged = append(staged, bytes.Repeat([]byte{d.pages[i]}, pageindex.PageSize)...)
	}
	for name, b := range map[checkpoint.FileName][]byte{
		checkpoint.FileKernel: {1}, checkpoint.FilePagesMeta: {2}, checkpoint.FileStaged: staged,
		checkpoint.FilePageIndex: pageindex.AppendTo(nil, index),
	} {
		if _, err := st.File(name).WriteAt(b, 0); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := st.Publish(context.Background(), testManifest(seq)); err != nil {
		t.Fatal(err)
	}
}

func (d *days) remove(t *testing.T, seq checkpoint.Seq) {
	t.Helper()
	if err := d.s.Remove(context.Background(), seq); err != nil {
		t.Fatal(err)
	}
}

func (d *days) expectBounded(t *testing.T) {
	t.Helper()
	var p *pagepool.Pool
	switch s := d.s.(type) {
	case *Memory:
		p = s.pool
	case *Disk:
		p = s.pool
	}
	waitFor(t, "compaction", func() bool {
		segments := p.Segments()
		for _, s := range segments {
			if s.Stuck {
				t.Fatalf("segment %d can't be read", s.ID)
			}
		}
		return len(segments) <= 66
	})
	good, _, err := d.s.List(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range good {
		if err := d.s.Verify(context.Background(), m.Seq); err != nil {
			t.Error(err)
		}
	}
	img, err := d.s.Open(context.Background(), good[len(good)-1].Seq)
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	b := make([]byte, pageindex.PageSize)
	for i, want := range d.pages {
		if _, err := img.Pages().ReadAt(b, int64(i)*pageindex.PageSize); err != nil || b[0] != want || b[pageindex.PageSize-1] != want {
			t.Fatalf("page %d is %d, not %d: %v", i, b[0], want, err)
		}
	}
}

// waitFor waits until a condition holds.
func waitFor(t *testing.T, condition string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still waiting for %s", condition)
		}
	}
}

// TestCompactGivesAllBack: also room that holes can't give back.
func TestCompactGivesAllBack(t *testing.T) {
	s := openTest(t, t.TempDir(), testOptions)
	for seq := checkpoint.Seq(1); seq <= 5; seq++ {
		if err := write(s, seq); err != nil {
			t.Fatal(err)
		}
	}
	for seq := checkpoint.Seq(1); seq <= 4; seq++ {
		if err := s.Remove(context.Background(), seq); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Compact(context.Background()); err != nil {
		t.Fatal(err)
	}
	expectPages(t, s, 5)
	for _, seg := range s.pool.Segments() {
		if seg.Live != seg.Pages {
			t.Errorf("segment %d has %d pages and needs %d", seg.ID, seg.Pages, seg.Live)
		}
	}
}

// TestCompactionKeepsDamage: a damaged page is neither moved nor made to look
// sound.
func TestCompactionKeepsDamage(t *testing.T) {
	s := openTest(t, t.TempDir(), testOptions)
	for seq := checkpoint.Seq(1); seq <= 2; seq++ {
		if err := write(s, seq); err != nil {
			t.Fatal(err)
		}
	}
	damagePage(t, s.pool, s.indexes[2], 2, func(b []byte) { b[len(b)/2] ^= 1 })
	if err := s.Remove(context.Background(), 1); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		_ = s.Compact(context.Background()) // an error, the first time
		if err := s.Verify(context.Background(), 2); !errors.Is(err, checkpoint.ErrDamaged) {
			t.Errorf("a damaged checkpoint: %v", err)
		}
	}
}
