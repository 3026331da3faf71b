package runsc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"gvisor.dev/gvisor/pkg/log"
	"gvisor.dev/gvisor/pkg/urpc"
	"gvisor.dev/gvisor/runsc/boot"
	"gvisor.dev/gvisor/runsc/container"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/memfile"
	"runsc-recover/checkpoint/pageindex"
	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/runsc-recover/internal/sandbox/lazypages"
	"runsc-recover/sentry/wire"
)

// Restore implements sandbox.Life.
func (s *instance) Restore(ctx context.Context, img checkpoint.Image) error {
	args, err := s.networkArgs()
	if err != nil {
		img.Close()
		return err
	}
	if args == nil {
		return s.restoreWhole(ctx, img)
	}
	server, socket, err := lazypages.Serve(img, s.damaged)
	if err != nil {
		closeAll(args.FilePayload.Files)
		return err
	}
	s.keepPages(server)
	err = s.bounded(ctx, saveTimeout, "restore sandbox", func() error {
		defer closeAll(append(args.FilePayload.Files, socket))
		return s.load(func() error {
			if err := s.loadKernel(socket, args); err != nil {
				return err
			}
			return s.askConnections(ctx)
		})
	})
	if err != nil {
		server.Stop()
		return errors.Join(server.Damage(), err)
	}
	close(s.started)
	go s.adopt(server)
	return nil
}

// keepPages notes the server of the sandbox's pages, so that it ends with the
// sandbox.
func (s *instance) keepPages(pages *lazypages.Server) {
	s.pages.Store(pages)
	select {
	case <-s.gone:
		pages.Stop()
	default:
	}
}

// stopPages ends the server of the sandbox's pages, which closes the image.
//
// Preconditions: the sandbox is gone or was killed.
func (s *instance) stopPages() {
	if pages := s.pages.Load(); pages != nil {
		pages.Stop()
	}
}

// adopt tells a copy, once its memory is there, which pages of its checkpoint
// went where, so that its first checkpoint contains changed pages alone. Where
// that fails, the checkpoint contains all.
func (s *instance) adopt(pages *lazypages.Server) {
	defer close(s.adopted)
	<-pages.Done()
	loaded, ok := pages.Loaded()
	if !ok || pages.Seq() == 0 {
		return
	}
	f, err := memfile.New("loaded")
	if err != nil {
		return
	}
	defer f.Close()
	defer pages.Forget()
	if _, err := f.Write(loaded.Encode()); err != nil {
		return
	}
	_, err = s.ask(context.Background(), saveTimeout, wire.Request{Verb: wire.VerbLoaded, Loaded: uint64(pages.Seq())}, f)
	if err != nil {
		log.Warningf("recover: %v", err)
	}
}

// Loaded implements sandbox.Life.
func (s *instance) Loaded(ctx context.Context) error {
	pages := s.pages.Load()
	if pages == nil {
		return nil
	}
	select {
	case <-s.adopted:
	case <-ctx.Done():
		return fmt.Errorf("wait for the copy's memory: %w", ctx.Err())
	}
	if _, ok := pages.Loaded(); !ok {
		return fmt.Errorf("load the copy's memory: %w", sandbox.ErrGone)
	}
	return nil
}

// damaged ends a copy whose checkpoint turns out to be damaged while it is
// served. Its request for pages stays unanswered, so that the program sees no
// error.
func (s *instance) damaged(err error) {
	s.events.report(sandbox.Event{Damaged: err})
	s.kill()
}

// loadKernel is gVisor's Container.Restore for an image that comes over a socket
// instead of from files. It returns when the kernel is loaded; its memory comes
// after.
func (s *instance) loadKernel(image *os.File, network *boot.CreateLinksAndRoutesArgs) error {
	conn, err := connect(s.sb.ControlSocketPath)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.Call(boot.ContMgrSetNetworkArgs, network, nil); err != nil {
		return fmt.Errorf("configure its network: %w", err)
	}
	opts := boot.RestoreOpts{
		FilePayload:        urpc.FilePayload{Files: []*os.File{image}},
		UseCheckpointGofer: true,
		Background:         true,
	}
	if err := conn.Call(boot.ContMgrRestore, &opts, nil); err != nil {
		return err
	}
	s.sb.Restored = true
	if err := s.noteRunning(); err != nil {
		return err
	}
	return s.adjustOOMScore()
}

// noteRunning writes the sandbox's state file, for gVisor's commands. Nobody
// looks for the file before the copy is released, so it may be gone for a
// moment: gVisor lets only its own code lock a file that is there.
func (s *instance) noteRunning() error {
	saver := &s.c.Saver
	if err := saver.Destroy(); err != nil {
		return fmt.Errorf("replace the sandbox's state: %w", err)
	}
	if err := saver.LockForNew(); err != nil {
		return fmt.Errorf("lock the sandbox's state: %w", err)
	}
	defer saver.UnlockOrDie()
	s.c.Status = container.Running
	if err := saver.SaveLocked(s.c); err != nil {
		return fmt.Errorf("save the sandbox's state: %w", err)
	}
	return nil
}

// adjustOOMScore gives the sandbox's processes the spec's OOM score.
func (s *instance) adjustOOMScore() error {
	score := s.c.Spec.Process.OOMScoreAdj
	if score == nil {
		return nil
	}
	for _, pid := range s.Pids() {
		path := filepath.Join("/proc", strconv.Itoa(pid), "oom_score_adj")
		if err := os.WriteFile(path, []byte(strconv.Itoa(*score)), 0); err != nil {
			return fmt.Errorf("adjust the OOM score: %w", err)
		}
	}
	return nil
}

// restoreWhole loads an image before it returns: gVisor reads the network's
// configuration from the namespace for images in directories alone.
func (s *instance) restoreWhole(ctx context.Context, img checkpoint.Image) error {
	defer img.Close()
	pages, err := pagesFile(img)
	if err != nil {
		return err
	}
	defer pages.Close()
	dir, err := s.linkImage(img, pages)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	err = s.bounded(ctx, saveTimeout, "restore sandbox", func() error {
		return s.load(func() error {
			return s.c.Restore(s.conf, dir, false /* direct */, false /* background */, nil)
		})
	})
	if err != nil {
		return err
	}
	s.findQueues()
	close(s.started)
	return nil
}

// linkImage makes a directory in which gVisor finds the image's files by its
// names for them.
func (s *instance) linkImage(img checkpoint.Image, pages *os.File) (string, error) {
	dir, err := os.MkdirTemp(s.root, "image-")
	if err != nil {
		return "", fmt.Errorf("make the image's directory: %w", err)
	}
	for name, f := range map[checkpoint.FileName]*os.File{
		checkpoint.FileKernel:    img.File(checkpoint.FileKernel),
		checkpoint.FilePagesMeta: img.File(checkpoint.FilePagesMeta),
		checkpoint.FilePages:     pages,
	} {
		target := "/proc/self/fd/" + strconv.Itoa(int(f.Fd()))
		if err := os.Symlink(target, filepath.Join(dir, string(name))); err != nil {
			os.RemoveAll(dir)
			return "", fmt.Errorf("link the image's files: %w", err)
		}
	}
	return dir, nil
}

// copiedAtOnce is the size of a read from an image's pages, in bytes.
const copiedAtOnce = 256 << 10

// pagesFile returns the image's pages as one file, which the caller closes.
func pagesFile(img checkpoint.Image) (*os.File, error) {
	if f := img.File(checkpoint.FilePages); f != nil {
		return os.Open("/proc/self/fd/" + strconv.Itoa(int(f.Fd())))
	}
	f, err := memfile.New("pages")
	if err != nil {
		return nil, fmt.Errorf("make a file for the image's pages: %w", err)
	}
	pages := img.Pages()
	buf, sums := make([]byte, copiedAtOnce), make([]uint64, copiedAtOnce/pageindex.PageSize)
	for at := int64(0); at < pages.Size(); at += copiedAtOnce {
		n := min(copiedAtOnce, pages.Size()-at)
		err := pages.ReadPages(buf[:n], uint64(at/pageindex.PageSize), sums[:n/pageindex.PageSize])
		if err == nil {
			_, err = f.Write(buf[:n])
		}
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("copy the image's pages: %w", err)
		}
	}
	return f, nil
}
