package container

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"runtime"
	"testing"
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/config"
	"runsc-recover/checkpoint/pageindex"
	"runsc-recover/checkpoint/store"
	"runsc-recover/oci/statedir"
	"runsc-recover/runsc-recover/internal/api"
)

const gvisorVersion = "v1"

// world is a state directory with a container in it.
type world struct {
	root *Root
	dir  statedir.Dir
	log  *bytes.Buffer
}

// newWorld makes a container whose supervisor is this process, served by s
// unless that is nil. A stopped container's is gone.
func newWorld(t *testing.T, status statedir.Status, c config.Config, s api.Service) world {
	t.Helper()
	w := world{log: new(bytes.Buffer)}
	w.root = &Root{Dir: t.TempDir(), GVisorVersion: gvisorVersion, Log: slog.New(slog.NewTextHandler(w.log, nil))}
	dir, lock, err := statedir.MakeDir(w.root.Dir, "web")
	if err != nil {
		t.Fatal(err)
	}
	lock.Unlock()
	w.dir = dir
	self, err := statedir.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if status == statedir.StatusStopped {
		self.StartTime++
	}
	state := &statedir.State{Version: statedir.StateVersion, ID: "web", Status: status, Supervisor: self, Policy: c, Bundle: "/bundle"}
	if err := state.Save(dir); err != nil {
		t.Fatal(err)
	}
	if s == nil {
		return w
	}
	l, err := api.Listen(dir.ControlSocket())
	if err != nil {
		t.Fatal(err)
	}
	srv := api.NewServer(s)
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return w
}

func (w world) open(t *testing.T) *Container {
	t.Helper()
	c, err := w.root.Open("web")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// publish puts checkpoints without any memory into the container's store.
func (w world) publish(t *testing.T, c config.Config, all ...checkpoint.Seq) {
	t.Helper()
	s, err := store.OpenDisk(statedir.StorePath(w.dir, c), store.Options{GVisorVersion: gvisorVersion, Arch: runtime.GOARCH, ContainerID: "web"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, seq := range all {
		st, err := s.Stage(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		for name, b := range map[checkpoint.FileName][]byte{checkpoint.FilePageIndex: pageindex.AppendTo(nil, nil), checkpoint.FileKernel: []byte("kernel"), checkpoint.FilePagesMeta: []byte("memory")} {
			if _, err := st.File(name).Write(b); err != nil {
				t.Fatal(err)
			}
		}
		m := checkpoint.Manifest{Seq: seq, Trigger: checkpoint.TriggerInterval, TakenAt: time.Unix(int64(seq), 0), GVisorVersion: gvisorVersion, Arch: runtime.GOARCH, ContainerID: "web"}
		if _, err := st.Publish(context.Background(), m); err != nil {
			t.Fatal(err)
		}
		if err := st.Discard(); err != nil {
			t.Fatal(err)
		}
	}
}
