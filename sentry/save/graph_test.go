package save

import (
	"bytes"
	"errors"
	"testing"

	"gvisor.dev/gvisor/pkg/sentry/state/stateio"

	"runsc-recover/checkpoint/memfile"
	"runsc-recover/sentry/capture"
)

// closable is a file in memory.
type closable struct {
	bytes.Buffer
	err error
}

func (c *closable) Close() error { return c.err }

// TestWrittenAfterResume has a graph written as the encoder does it.
func TestWrittenAfterResume(t *testing.T) {
	out := &closable{}
	g := &graph{out: out, encoded: make(chan struct{}), resumed: make(chan struct{}), written: make(chan error, 1)}
	if g.isEncoded() {
		t.Fatal("encoded before it began")
	}
	go func() {
		w := &afterResume{g}
		_, first := w.Write([]byte("first"))
		_, second := w.Write([]byte(", second"))
		g.written <- errors.Join(first, second, g.out.Close())
	}()
	<-g.encoded
	if out.Len() != 0 {
		t.Error("written while the program stands still")
	}
	if err := g.finish(); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); got != "first, second" {
		t.Errorf("%q is written", got)
	}
}

// TestFinishWithoutObjects: a pause may end before an object is encoded.
func TestFinishWithoutObjects(t *testing.T) {
	g := &graph{encoded: make(chan struct{}), resumed: make(chan struct{}), written: make(chan error, 1)}
	if err := g.finish(); err != nil {
		t.Error(err)
	}
}

// TestMemoryIsComplete calls the two files of memory as gVisor does when all
// goes well, when it gives up, and when a file is full.
func TestMemoryIsComplete(t *testing.T) {
	full := errors.New("full")
	for _, test := range []struct {
		name     string
		meta     error
		gaveUp   bool
		complete bool
	}{
		{name: "all well", complete: true},
		{name: "given up", gaveUp: true},
		{name: "full", meta: full},
	} {
		t.Run(test.name, func(t *testing.T) {
			pages, err := capture.New(nil).Begin(capture.Request{Seq: 1, Staged: memfd(t), Full: -1})
			if err != nil {
				t.Fatal(err)
			}
			meta := &metaFile{BufioWriteCloser: stateio.NewBufioWriteCloser(&closable{err: test.meta})}
			m := &memoryFiles{Capture: pages, meta: meta}
			if test.gaveUp {
				m.Finalize()
				meta.Close()
			} else {
				meta.Close()
				m.Finalize()
			}
			if err := m.check(); (err == nil) != test.complete {
				t.Errorf("check returns %v", err)
			}
		})
	}
}

func memfd(t *testing.T) int {
	f, err := memfile.New("test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return int(f.Fd())
}
