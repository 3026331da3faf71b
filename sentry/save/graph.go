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

// errEncoded ends a SaveTo whose work is done.
var errEncoded = errors.New("the kernel's objects are encoded")

// graph is the kernel's objects on their way into the state file. gVisor's
// encoder first turns all of them into values of its own and only then writes,
// from nothing but those; a sixth of its time goes into writing. SaveTo does
// both while the program stands still. So SaveTo is given the graph in place of
// a state file: when it begins to write there, it has quiesced everything, and
// a goroutine encodes the objects instead. SaveTo is then made to end by an
// error, which undoes its preparations as success would, and the goroutine
// writes once the program runs.
//
// A graph is used for one SaveTo, after which finish must be called.
type graph struct {
	ctx    context.Context
	kernel *kernel.Kernel
	out    io.WriteCloser

	encoded   chan struct{} // closed when no object is looked at any more
	encodedAt time.Time     // set before encoded is closed
	resumed   chan struct{} // closed when writing may begin
	written   chan error    // the goroutine's result, sent once
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
	go func() { g.written <- g.encode() }()
	select {
	case <-g.encoded:
		return 0, errEncoded
	case err := <-g.written:
		return 0, err
	}
}

// Close implements io.Closer. The goroutine closes the state file.
func (g *graph) Close() error { return nil }

func rootStack(k *kernel.Kernel) inet.Stack {
	if ns := k.RootNetworkNamespace(); ns != nil {
		return ns.Stack()
	}
	return nil
}

// encode writes the objects in SaveTo's order, which is that of a restore.
func (g *graph) encode() (err error) {
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

// finish has the encoding written, where there is one.
//
// Preconditions: the program runs again.
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

// afterResume is the state file as the encoder sees it. The first Write comes
// when the objects are encoded, and waits until the program runs.
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
