package storetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"sync"
	"testing"

	"runsc-recover/checkpoint"
)

func testEmpty(t *testing.T, h Harness) {
	s := h.New(t, mine)
	expectList(t, s)
	_, err := s.Open(context.Background(), 1)
	expectError(t, "open", err, checkpoint.ErrNotFound)
	expectError(t, "verify", s.Verify(context.Background(), 1), checkpoint.ErrNotFound)
	expectError(t, "remove", s.Remove(context.Background(), 1), checkpoint.ErrNotFound)
}

func testPublishAndOpen(t *testing.T, h Harness) {
	s := h.New(t, mine)
	published := publish(t, s, 7)
	want := manifest(7)
	want.Version, want.TakenAt = checkpoint.ManifestVersion, want.TakenAt.UTC()
	want.Files, want.Pages, want.Cost.Publish = published.Files, published.Pages, published.Cost.Publish
	if !reflect.DeepEqual(published, want) {
		t.Errorf("published is %+v, want %+v", published, want)
	}
	if len(published.Files) != 3 || published.Cost.Publish <= 0 || published.Bytes() <= 0 {
		t.Errorf("the manifest isn't complete: %+v", published)
	}
	img := open(t, s, 7)
	if !reflect.DeepEqual(img.Manifest(), published) {
		t.Errorf("opened is %+v, published was %+v", img.Manifest(), published)
	}
	expectContents(t, img, 7)
	good, _, _ := s.List(context.Background())
	if len(good) != 1 || !reflect.DeepEqual(good[0], published) {
		t.Errorf("listed is %+v", good)
	}
	if err := s.Verify(context.Background(), 7); err != nil {
		t.Errorf("verify: %v", err)
	}
}

func testStagedIsInvisible(t *testing.T, h Harness) {
	s := h.New(t, mine)
	st := stage(t, s, 1)
	expectList(t, s)
	if err := st.Discard(); err != nil {
		t.Errorf("discard: %v", err)
	}
	expectList(t, s)
	publish(t, s, 1)
}

func testStagingEndsOnce(t *testing.T, h Harness) {
	s := h.New(t, mine)
	st := stage(t, s, 1)
	if _, err := st.Publish(context.Background(), manifest(1)); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Publish(context.Background(), manifest(2)); err == nil {
		t.Error("published twice")
	}
	gone := stage(t, s, 3)
	gone.Discard()
	if err := gone.Discard(); err != nil {
		t.Errorf("discard twice: %v", err)
	}
	if _, err := gone.Publish(context.Background(), manifest(3)); err == nil {
		t.Error("published after discard")
	}
	expectList(t, s, 1)
}

func testSeqRises(t *testing.T, h Harness) {
	s := h.New(t, mine)
	publish(t, s, 2)
	publish(t, s, 10)
	if err := s.Remove(context.Background(), 10); err != nil {
		t.Fatal(err)
	}
	st := stage(t, s, 11)
	for _, seq := range []checkpoint.Seq{0, 1, 2, 9, 10} {
		if _, err := st.Publish(context.Background(), manifest(seq)); err == nil {
			t.Errorf("published %d after 10", seq)
		}
	}
	expectList(t, s, 2)
	if _, err := st.Publish(context.Background(), manifest(11)); err != nil {
		t.Errorf("publish after refusals: %v", err)
	}
	expectList(t, s, 2, 11)
	expectContents(t, open(t, s, 11), 11)
}

func testRefusedPublish(t *testing.T, h Harness) {
	s := h.New(t, mine)
	for name, change := range map[string]func(*checkpoint.Manifest){
		"gVisor version": func(m *checkpoint.Manifest) { m.GVisorVersion = "v2" },
		"architecture":   func(m *checkpoint.Manifest) { m.Arch = "arm64" },
		"container":      func(m *checkpoint.Manifest) { m.ContainerID = "d" },
	} {
		st := stage(t, s, 1)
		m := manifest(1)
		change(&m)
		_, err := st.Publish(context.Background(), m)
		expectError(t, "publish for another "+name, err, checkpoint.ErrVersion)
		st.Discard()
	}
	expectList(t, s)
}

func testTooLarge(t *testing.T, h Harness) {
	id := mine
	id.MaxBytes = int64(len(someMemory(1).bytes())) - 1
	s := h.New(t, id)
	st := stage(t, s, 1)
	defer st.Discard()
	_, err := st.Publish(context.Background(), manifest(1))
	expectError(t, "publish", err, checkpoint.ErrFull)
	expectList(t, s)
}

func testCancelled(t *testing.T, h Harness) {
	s := h.New(t, mine)
	st := stage(t, s, 1)
	publish(t, s, 1)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := st.Publish(ctx, manifest(2))
	expectError(t, "publish", err, context.Canceled)
	st.Discard()
	_, err = s.Stage(ctx, 0)
	expectError(t, "stage", err, context.Canceled)
	_, err = s.Open(ctx, 1)
	expectError(t, "open", err, context.Canceled)
	if errors.Is(err, checkpoint.ErrDamaged) {
		t.Error("a cancelled open calls the checkpoint damaged")
	}
	expectList(t, s, 1)
}

func testRemove(t *testing.T, h Harness) {
	s := h.New(t, mine)
	for seq := range checkpoint.Seq(3) {
		publish(t, s, seq+1)
	}
	if err := s.Remove(context.Background(), 2); err != nil {
		t.Fatal(err)
	}
	expectList(t, s, 1, 3)
	_, err := s.Open(context.Background(), 2)
	expectError(t, "open", err, checkpoint.ErrNotFound)
	expectError(t, "remove again", s.Remove(context.Background(), 2), checkpoint.ErrNotFound)
	expectContents(t, open(t, s, 1), 1)
	expectContents(t, open(t, s, 3), 3)
}

func testRemoveWhileOpen(t *testing.T, h Harness) {
	s := h.New(t, mine)
	publish(t, s, 1)
	img := open(t, s, 1)
	if err := s.Remove(context.Background(), 1); err != nil {
		t.Fatal(err)
	}
	publish(t, s, 2)
	expectContents(t, img, 1)
}

func testListIsACopy(t *testing.T, h Harness) {
	s := h.New(t, mine)
	publish(t, s, 1)
	good, _, _ := s.List(context.Background())
	good[0].Files[0].Hash = "changed"
	if err := s.Verify(context.Background(), 1); err != nil {
		t.Errorf("a change to the result of List reached the store: %v", err)
	}
}

func testDamage(t *testing.T, h Harness) {
	s := h.New(t, mine)
	publish(t, s, 1)
	seq := checkpoint.Seq(1)
	for _, name := range checkpoint.FileNames {
		for way, change := range damages() {
			seq++
			publish(t, s, seq)
			h.Damage(t, s, seq, name, change)
			_, err := s.Open(context.Background(), seq)
			expectError(t, "open with "+way+" of "+string(name), err, checkpoint.ErrDamaged)
			expectError(t, "verify with "+way+" of "+string(name), s.Verify(context.Background(), seq), checkpoint.ErrDamaged)
			if err := s.Remove(context.Background(), seq); err != nil {
				t.Errorf("remove a damaged checkpoint: %v", err)
			}
		}
	}
	expectContents(t, open(t, s, 1), 1)
}

// damages are the ways to damage a file.
func damages() map[string]func([]byte) []byte {
	ways := map[string]func([]byte) []byte{
		"the last byte cut off": func(b []byte) []byte { return b[:len(b)-1] },
		"a zero byte appended":  func(b []byte) []byte { return append(b, 0) },
		"nothing left":          func(b []byte) []byte { return nil },
	}
	for part := range 3 { // the first, the middle and the last byte
		for _, mask := range []byte{1, 0x80, 0xff} {
			ways[fmt.Sprintf("byte at %d/2 changed by %#x", part, mask)] = func(b []byte) []byte {
				b[(len(b)-1)*part/2] ^= mask
				return b
			}
		}
	}
	return ways
}

// testWrittenAfterwards: a sandbox that keeps a staged file's descriptor can at
// most spoil its checkpoint, and not unseen.
func testWrittenAfterwards(t *testing.T, h Harness) {
	s := h.New(t, mine)
	st := stage(t, s, 1)
	kept, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", st.File(checkpoint.FileKernel).Fd()), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	if _, err := st.Publish(context.Background(), manifest(1)); err != nil {
		t.Fatal(err)
	}
	if _, err := kept.WriteAt([]byte("later"), 100); err != nil {
		t.Fatal(err)
	}
	img, err := s.Open(context.Background(), 1)
	if err != nil {
		expectError(t, "open", err, checkpoint.ErrDamaged)
		return
	}
	defer img.Close()
	expectContents(t, img, 1)
}

func testImagesAreSeparate(t *testing.T, h Harness) {
	s := h.New(t, mine)
	publish(t, s, 1)
	a, b := open(t, s, 1), open(t, s, 1)
	expectContents(t, a, 1)
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	expectContents(t, b, 1)
	again, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", b.File(checkpoint.FileKernel).Fd()))
	if err != nil {
		t.Fatalf("reopen through /proc: %v", err)
	}
	defer again.Close()
	if got, err := io.ReadAll(again); err != nil || string(got) != string(content(1, checkpoint.FileKernel)) {
		t.Errorf("reopened through /proc: %d bytes, %v", len(got), err)
	}
	if _, err := b.File(checkpoint.FileKernel).WriteAt([]byte{1}, 0); err == nil {
		t.Error("an image can be written")
	}
}

func testClosed(t *testing.T, h Harness) {
	s := h.New(t, mine)
	publish(t, s, 1)
	st := stage(t, s, 2)
	img := open(t, s, 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	_, err := st.Publish(ctx, manifest(2))
	expectError(t, "publish", err, checkpoint.ErrClosed)
	st.Discard()
	_, err = s.Stage(ctx, 0)
	expectError(t, "stage", err, checkpoint.ErrClosed)
	_, err = s.Open(ctx, 1)
	expectError(t, "open", err, checkpoint.ErrClosed)
	_, _, err = s.List(ctx)
	expectError(t, "list", err, checkpoint.ErrClosed)
	expectError(t, "remove", s.Remove(ctx, 1), checkpoint.ErrClosed)
	if err := s.Close(); err != nil {
		t.Errorf("close twice: %v", err)
	}
	expectContents(t, img, 1)
}

// testConcurrent is for the race detector, and for readers that meet a removal:
// they get a checkpoint whole or not at all.
func testConcurrent(t *testing.T, h Harness) {
	s := h.New(t, mine)
	const n = 12
	var wg sync.WaitGroup
	published := make(chan checkpoint.Seq, n)
	wg.Go(func() {
		defer close(published)
		for seq := range checkpoint.Seq(n) {
			publish(t, s, seq+1)
			published <- seq + 1
		}
	})
	done := make(chan struct{})
	wg.Go(func() {
		defer close(done)
		for seq := range published {
			if err := s.Remove(context.Background(), seq); err != nil {
				t.Errorf("remove %d: %v", seq, err)
			}
		}
	})
	for range 2 {
		wg.Go(func() {
			for !closed(done) {
				verifyListed(t, s)
			}
		})
	}
	wg.Wait()
	expectList(t, s)
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func verifyListed(t *testing.T, s checkpoint.Store) {
	good, bad, err := s.List(context.Background())
	if err != nil || len(bad) > 0 {
		t.Errorf("list: bad %v, error %v", bad, err)
	}
	for _, m := range good {
		if err := s.Verify(context.Background(), m.Seq); err != nil && !errors.Is(err, checkpoint.ErrNotFound) {
			t.Errorf("verify %d: %v", m.Seq, err)
		}
	}
}

func expectError(t *testing.T, name string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", name, err, want)
	}
}
