package save

import (
	"errors"
	"fmt"
	"io"
	"time"

	"gvisor.dev/gvisor/pkg/context"
	"gvisor.dev/gvisor/pkg/fd"
	"gvisor.dev/gvisor/pkg/sentry/inet"
	"gvisor.dev/gvisor/pkg/sentry/kernel"
	"gvisor.dev/gvisor/pkg/state"
	"gvisor.dev/gvisor/pkg/state/statefile"
)

// errEncoded ends a SaveTo of which all that is wanted is done.
var errEncoded = errors.New("the kernel's objects are encoded")

// A graph is the kernel's objects on their way into the state file. gVisor's
// encoder first turns all of them into values of its own and only then writes,
// from nothing but those; a sixth of its time goes into writing. SaveTo does
// both while the program stands still. So it gets the graph as its state file:
// when it comes to write there, it has quiesced everything, and a goroutine
// encodes the objects instead; SaveTo is then made to end by an error, which
// undoes what it did as success would, and the goroutine writes once the
// program runs.
//
// It is used for one SaveTo, after which finish must be called.
type graph struct {
	ctx    context.Context
	kernel *kernel.Kernel
	out    io.WriteCloser

	encoded   chan struct{} // closed when no object is looked at any more
	encodedAt time.Time     // set before
	resumed   chan struct{} // closed when writing may begin
	written   chan error    // what came of it; receives once
}

// newGraph writes the state file's header. gVisor closes the file, whose owner
// is the caller nevertheless.
func newGraph(k *kernel.Kernel, file *fd.FD, meta map[string]string) (*graph, error) {
	out, err := statefile.NewWriter(file, nil, meta)
	if err != nil {
		return nil, fmt.Errorf("write the state file's header: %w", err)
	}
	return &graph{
		ctx: k.SupervisorContext(), kernel: k, out: out,
		encoded: make(chan struct{}), resumed: make(chan struct{}), written: make(chan error, 1),
	}, nil
}

// Write implements io.Writer. SaveTo's first call ends it.
//
// Preconditions: the kernel is quiesced.
func (g *graph) Write([]byte) (int, error) {
	if stack := rootStack(g.kernel); stack != nil {
		stack.SetRemoveConf(false)
		stack.Pause()
		defer stack.Resume()
	}
	go func() { g.written <- g.save() }()
	select {
	case <-g.encoded:
		return 0, errEncoded
	case err := <-g.written:
		return 0, err
	}
}

// Close implements io.Closer. What is written to is closed by the goroutine.
func (g *graph) Close() error { return nil }

func rootStack(k *kernel.Kernel) inet.Stack {
	if ns := k.RootNetworkNamespace(); ns != nil {
		return ns.Stack()
	}
	return nil
}

// save writes what a restore reads, in SaveTo's order.
func (g *graph) save() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("encode the kernel: %v", r)
		}
	}()
	features := g.kernel.FeatureSet()
	if _, err := state.Save(g.ctx, g.out, &features); err != nil {
		return fmt.Errorf("encode the processor's features: %w", err)
	}
	if _, err := state.Save(g.ctx, &afterResume{g}, g.kernel); err != nil {
		return fmt.Errorf("encode the kernel: %w", err)
	}
	return g.out.Close()
}

// finish has what is encoded, if anything is, written.
func (g *graph) finish() error {
	close(g.resumed)
	if !g.isEncoded() {
		return nil
	}
	return <-g.written
}

// isEncoded reports whether SaveTo ended because the objects were encoded.
func (g *graph) isEncoded() bool {
	select {
	case <-g.encoded:
		return true
	default:
		return false
	}
}

// afterResume is where a graph is written to. Its first Write says that the
// objects are encoded and waits until the program runs.
type afterResume struct{ *graph }

// Write implements io.Writer.
func (w *afterResume) Write(b []byte) (int, error) {
	if !w.isEncoded() {
		w.encodedAt = time.Now()
		close(w.encoded)
		<-w.resumed
	}
	return w.out.Write(b)
}
