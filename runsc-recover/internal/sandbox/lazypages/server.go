// Package lazypages gives a restored copy its memory on demand.
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

// imageServer serves a checkpoint to the sandbox that is restored from it, as
// gVisor's checkpoint gofer would: it reads where the store keeps the pages and
// writes into the sandbox's memory files. gVisor asks for pages that the
// program waits for first and for all others then, so that a copy runs before
// its memory is there.
//
// The program runs meanwhile, so the sandbox is hostile: what it sends is
// bounded, nothing is read or written through a mapping of its files, which it
// could cut, and a page whose hash is wrong is never handed out. A read that
// meets one isn't answered: the program must not see an error that it would
// never have had.
type Server struct {
	img   checkpoint.Image
	Seq   checkpoint.Seq
	files *stateipc.AsyncFileServer
	sock  *unet.Socket
	// damaged is called once, with the first error of the checkpoint's own.
	damaged func(error)
	// stopping is closed when the sandbox has hung up or is gone, done once
	// nothing is served any more and the image is closed.
	stopping, Done chan struct{}
	stopOnce       sync.Once

	mu sync.Mutex
	// The following are guarded by mu.

	opened map[string]bool
	// pagesHandle is the sandbox's name for the pages file, once it has one.
	pagesHandle *uint32
	// loaded is what the sandbox got, set when its pages file is closed.
	loaded pageindex.Loaded
	// complete is set when the sandbox has all pages that it wants, spoilt
	// when one could not be given to it.
	complete, spoilt bool
	err              error // that damaged was called with
}

// Serve serves an image until the sandbox hangs up on client, which the
// caller hands to it and closes. It takes ownership of img, even if it returns
// an error.
func Serve(img checkpoint.Image, damaged func(error)) (s *Server, client *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		img.Close()
		return nil, nil, fmt.Errorf("make the image's socket: %w", err)
	}
	client = os.NewFile(uintptr(fds[0]), "image")
	s = &Server{
		img: img, Seq: img.Manifest().Seq, damaged: damaged, opened: make(map[string]bool),
		stopping: make(chan struct{}), Done: make(chan struct{}),
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
	defer close(s.Done)
	defer s.img.Close()
	for s.answer() == nil {
	}
	s.hangUp()
	s.files.Stop()
	s.files = nil // with what it noted of every page
	s.sock.Close()
}

func (s *Server) hangUp() { s.stopOnce.Do(func() { close(s.stopping) }) }

// Stop ends serving, whatever the sandbox wants, and waits for that.
func (s *Server) Stop() {
	s.hangUp()
	_ = s.sock.Shutdown() // serve closes it
	<-s.Done
}

// result returns where the sandbox has its pages, if it got all that it wants.
//
// Preconditions: done is closed.
func (s *Server) Result() (pageindex.Loaded, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loaded, s.complete && !s.spoilt
}

// Forget lets go of what the sandbox has been told.
func (s *Server) Forget() { s.noteLoaded(pageindex.Loaded{}) }

func (s *Server) noteLoaded(l pageindex.Loaded) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loaded = l
}

// Destroy implements stateipc.AsyncFileServerImpl.
func (s *Server) Destroy() {}

// OpenWrite implements stateipc.AsyncFileServerImpl.
func (s *Server) OpenWrite(string) (stateio.AsyncWriter, error) {
	return nil, unix.EROFS
}

// OpenRead implements stateipc.AsyncFileServerImpl. Each file can be opened
// once, which bounds what a sandbox can ask for.
func (s *Server) OpenRead(path string) (stateio.AsyncReader, error) {
	s.mu.Lock()
	again := s.opened[path]
	s.opened[path] = true
	s.mu.Unlock()
	if again {
		return nil, unix.EBUSY
	}
	r := &reader{server: s, buf: make([]byte, MaxRead)}
	switch path {
	case checkpointfiles.StateFileName:
		r.from = fileSource{s.img.File(checkpoint.FileKernel)}
	case checkpointfiles.PagesMetadataFileName:
		r.from = fileSource{s.img.File(checkpoint.FilePagesMeta)}
	case checkpointfiles.PagesFileName:
		pages := newPageSource(s.img.Pages())
		r.from, r.loaded = pages, &loadedPages{pages, make([]uint64, pages.pages.Size()/pageindex.PageSize)}
	default:
		return nil, unix.ENOENT
	}
	return r, nil
}

// spoil notes that the sandbox doesn't have what it asked for.
func (s *Server) spoil() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spoilt = true
}

// fail reports an error of the checkpoint's, and returns when the sandbox has
// hung up.
func (s *Server) fail(err error) {
	s.mu.Lock()
	first := s.err == nil
	if first {
		s.err = fmt.Errorf("serve the image: %w", err)
		err = s.err
	}
	s.mu.Unlock()
	if first {
		s.damaged(err)
	}
	<-s.stopping
}

// Failure is the error of the checkpoint's own, nil when there was none.
func (s *Server) Failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// errHostile: a sandbox did what gVisor doesn't.
var errHostile = errors.New("sandbox asks for what it can't have")
