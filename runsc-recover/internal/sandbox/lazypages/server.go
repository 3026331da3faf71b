package lazypages

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"gvisor.dev/gvisor/pkg/sentry/state/checkpointfiles"
	"gvisor.dev/gvisor/pkg/sentry/state/stateio"
	"gvisor.dev/gvisor/pkg/sentry/state/stateipc"
	"gvisor.dev/gvisor/pkg/unet"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/pageindex"
)

// errHostile: the sandbox sent a request that gVisor's client never sends.
var errHostile = errors.New("request beyond the sandbox's rights")

// Server serves one image to one sandbox. Methods are safe for concurrent use.
type Server struct {
	img   checkpoint.Image
	seq   checkpoint.Seq
	files *stateipc.AsyncFileServer
	sock  *unet.Socket
	// damaged is called once, with the image's first error.
	damaged func(error)
	// stopping is closed when the sandbox has hung up or Stop was called, done
	// once nothing is served any more and the image is closed.
	stopping, done chan struct{}
	hangUp         func() // closes stopping, once

	mu sync.Mutex
	// The following are guarded by mu.

	opened map[string]bool
	// pagesHandle is the sandbox's handle of the pages file, nil until it is open.
	pagesHandle *uint32
	// loaded says where the sandbox has its pages. It is set when the pages file
	// is closed.
	loaded pageindex.Loaded
	// complete is set when the sandbox has closed the pages file, spoilt when a
	// read of it failed.
	complete, spoilt bool
	damage           error // the argument of damaged
}

// Serve serves an image until the sandbox hangs up on client, or until Stop. The
// caller hands client to the sandbox and closes it. Serve takes ownership of
// img, even if it returns an error. The function damaged is called at most once,
// on a goroutine of the server, with an error of the image itself; the request
// that met the error isn't answered, and the caller of Serve kills the sandbox.
func Serve(img checkpoint.Image, damaged func(error)) (s *Server, client *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		img.Close()
		return nil, nil, fmt.Errorf("make the image's socket: %w", err)
	}
	client = os.NewFile(uintptr(fds[0]), "image")
	stopping := make(chan struct{})
	s = &Server{
		img: img, seq: img.Manifest().Seq, damaged: damaged, opened: make(map[string]bool),
		stopping: stopping, done: make(chan struct{}),
		hangUp: sync.OnceFunc(func() { close(stopping) }),
	}
	if s.sock, err = unet.NewSocket(fds[1]); err != nil {
		unix.Close(fds[1])
	} else if s.files, err = stateipc.NewAsyncFileServer(s); err != nil {
		s.sock.Close()
	}
	if err != nil {
		img.Close()
		client.Close()
		return nil, nil, fmt.Errorf("serve the image: %w", err)
	}
	go s.serve()
	return s, client, nil
}

// serve answers calls until the sandbox hangs up.
func (s *Server) serve() {
	defer close(s.done)
	defer s.img.Close()
	for s.answer() == nil {
	}
	s.hangUp()
	s.files.Stop()
	s.files = nil // with its notes of every page
	s.sock.Close()
}

// Stop ends serving, with requests unanswered, and returns once the image is
// closed. It may be called more than once.
func (s *Server) Stop() {
	s.hangUp()
	_ = s.sock.Shutdown() // serve closes the socket
	<-s.done
}

// Done is closed once nothing is served any more and the image is closed.
func (s *Server) Done() <-chan struct{} { return s.done }

// Seq is the number of the checkpoint that is served, 0 for an image that isn't
// a checkpoint of the container's.
func (s *Server) Seq() checkpoint.Seq { return s.seq }

// Loaded says where the sandbox has its pages. It reports false when the sandbox
// didn't get every page that it asked for.
//
// Preconditions: Done is closed.
func (s *Server) Loaded() (pageindex.Loaded, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loaded, s.complete && !s.spoilt
}

// Forget frees the memory of the answer of Loaded.
func (s *Server) Forget() { s.noteLoaded(pageindex.Loaded{}) }

// Damage is the error of the image itself; nil when there was none.
func (s *Server) Damage() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.damage
}

func (s *Server) noteLoaded(l pageindex.Loaded) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loaded = l
}

// Destroy implements stateipc.AsyncFileServerImpl.
func (s *Server) Destroy() {}

// OpenWrite implements stateipc.AsyncFileServerImpl. It refuses.
func (s *Server) OpenWrite(string) (stateio.AsyncWriter, error) {
	return nil, unix.EROFS
}

// OpenRead implements stateipc.AsyncFileServerImpl. Each file can be opened
// once, which bounds the requests of a sandbox.
func (s *Server) OpenRead(path string) (stateio.AsyncReader, error) {
	s.mu.Lock()
	again := s.opened[path]
	s.opened[path] = true
	s.mu.Unlock()
	if again {
		return nil, unix.EBUSY
	}
	r := &reader{server: s, buf: make([]byte, maxRead)}
	switch path {
	case checkpointfiles.StateFileName:
		r.from = fileSource{s.img.File(checkpoint.FileKernel)}
	case checkpointfiles.PagesMetadataFileName:
		r.from = fileSource{s.img.File(checkpoint.FilePagesMeta)}
	case checkpointfiles.PagesFileName:
		pages := newPageSource(s.img.Pages())
		r.from, r.placed = pages, newPlacement(pages)
	default:
		return nil, unix.ENOENT
	}
	return r, nil
}

// spoil notes that the sandbox doesn't have a page that it asked for.
func (s *Server) spoil() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spoilt = true
}

// fail reports an error of the image, and returns when the sandbox has hung up.
func (s *Server) fail(err error) {
	s.mu.Lock()
	first := s.damage == nil
	if first {
		s.damage = fmt.Errorf("serve the image: %w", err)
		err = s.damage
	}
	s.mu.Unlock()
	if first {
		s.damaged(err)
	}
	<-s.stopping
}
