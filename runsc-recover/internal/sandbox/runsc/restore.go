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

// Restore implements sandbox.Sandbox.
func (g *generation) Restore(ctx context.Context, img checkpoint.Image) error {
	args, err := g.networkArgs()
	if err != nil {
		img.Close()
		return err
	}
	if args == nil {
		return g.restoreWhole(ctx, img)
	}
	server, socket, err := lazypages.Serve(img, g.damaged)
	if err != nil {
		closeAll(args.FilePayload.Files)
		return err
	}
	g.serve(server)
	err = g.bounded(ctx, saveTimeout, "restore sandbox", func() error {
		defer closeAll(append(args.FilePayload.Files, socket))
		return g.load(func() error {
			if err := g.loadKernel(socket, args); err != nil {
				return err
			}
			return g.askConnections(ctx)
		})
	})
	if err != nil {
		server.Stop()
		return errors.Join(server.Damage(), err)
	}
	close(g.started)
	go g.adopt(server)
	return nil
}

// serve notes what serves the sandbox, so that it ends with it.
func (g *generation) serve(s *lazypages.Server) {
	g.pages.Store(s)
	select {
	case <-g.gone:
		s.Stop()
	default:
	}
}

// stopServing is for a sandbox that is gone.
func (g *generation) stopServing() {
	if s := g.pages.Load(); s != nil {
		s.Stop()
	}
}

// adopt tells a copy, once its memory is there, what it was restored from, so
// that its first checkpoint costs what has changed since. Where that fails, the
// checkpoint is a whole one.
func (g *generation) adopt(s *lazypages.Server) {
	defer close(g.adopted)
	<-s.Done()
	loaded, ok := s.Loaded()
	if !ok || s.Seq() == 0 {
		return
	}
	f, err := memfile.New("loaded")
	if err != nil {
		return
	}
	defer f.Close()
	defer s.Forget()
	if _, err := f.Write(loaded.Encode()); err != nil {
		return
	}
	_, err = g.ask(context.Background(), saveTimeout, wire.Request{Verb: wire.VerbLoaded, Loaded: uint64(s.Seq())}, f)
	if err != nil {
		log.Warningf("recover: %v", err)
	}
}

// Loaded implements sandbox.Sandbox.
func (g *generation) Loaded(ctx context.Context) error {
	s := g.pages.Load()
	if s == nil {
		return nil
	}
	select {
	case <-g.adopted:
	case <-ctx.Done():
		return fmt.Errorf("wait for the copy's memory: %w", ctx.Err())
	}
	if _, ok := s.Loaded(); !ok {
		return fmt.Errorf("load the copy's memory: %w", sandbox.ErrGone)
	}
	return nil
}

// damaged ends a copy whose checkpoint turns out to be damaged while it is
// served. The sandbox gets no answer, so that the program sees nothing of it.
func (g *generation) damaged(err error) {
	g.report(sandbox.Event{Damaged: err})
	g.kill()
}

// loadKernel does what gVisor's Container.Restore does, which restores from
// files alone. It returns when the kernel is loaded; its memory comes after.
func (g *generation) loadKernel(image *os.File, network *boot.CreateLinksAndRoutesArgs) error {
	conn, err := connect(g.sb.ControlSocketPath)
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
	g.sb.Restored = true
	if err := g.noteRunning(); err != nil {
		return err
	}
	return g.adjustOOMScore()
}

// noteRunning writes the sandbox's state file, for gVisor's commands. Nobody
// looks for it before the copy is released, so it may be gone for a moment:
// gVisor lets nobody else lock one that is there.
func (g *generation) noteRunning() error {
	saver := &g.c.Saver
	if err := saver.Destroy(); err != nil {
		return fmt.Errorf("replace the sandbox's state: %w", err)
	}
	if err := saver.LockForNew(); err != nil {
		return fmt.Errorf("lock the sandbox's state: %w", err)
	}
	defer saver.UnlockOrDie()
	g.c.Status = container.Running
	if err := saver.SaveLocked(g.c); err != nil {
		return fmt.Errorf("save the sandbox's state: %w", err)
	}
	return nil
}

// adjustOOMScore gives the sandbox's processes what the spec asks for.
func (g *generation) adjustOOMScore() error {
	score := g.c.Spec.Process.OOMScoreAdj
	if score == nil {
		return nil
	}
	for _, pid := range g.Pids() {
		path := filepath.Join("/proc", strconv.Itoa(pid), "oom_score_adj")
		if err := os.WriteFile(path, []byte(strconv.Itoa(*score)), 0); err != nil {
			return fmt.Errorf("adjust the OOM score: %w", err)
		}
	}
	return nil
}

// restoreWhole loads an image before it returns: gVisor reads the network's
// configuration from the namespace for images in directories alone.
func (g *generation) restoreWhole(ctx context.Context, img checkpoint.Image) error {
	defer img.Close()
	pages, err := pagesFile(img)
	if err != nil {
		return err
	}
	defer pages.Close()
	dir, err := g.linkImage(img, pages)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	err = g.bounded(ctx, saveTimeout, "restore sandbox", func() error {
		return g.load(func() error {
			return g.c.Restore(g.conf, dir, false /* direct */, false /* background */, nil)
		})
	})
	if err != nil {
		return err
	}
	g.findQueues()
	close(g.started)
	return nil
}

// linkImage makes a directory in which gVisor finds the image's files by its
// names for them.
func (g *generation) linkImage(img checkpoint.Image, pages *os.File) (string, error) {
	dir, err := os.MkdirTemp(g.root, "image-")
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
