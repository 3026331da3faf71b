package runc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	runc "github.com/containerd/go-runc"

	"runsc-recover/test/harness"
)

// serve prints a line on start and on each USR1, and ends with 0 on TERM.
const serve = `trap 'echo hello' USR1; trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done`

// client is go-runc against a runtime of its own.
type client struct {
	*harness.Runtime
	*runc.Runc
	ctx context.Context
	t   *testing.T
}

// newClient returns one whose log has the given format.
func newClient(t *testing.T, format runc.Format) *client {
	t.Helper()
	rt := harness.New(t)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return &client{Runtime: rt, ctx: ctx, t: t, Runc: &runc.Runc{
		Command: marked(t, rt), Root: rt.Root, Log: filepath.Join(rt.Dir, "runtime.log"), LogFormat: format,
	}}
}

// marked is the runtime's binary behind a script that gives its processes the
// mark by which leaks are found: go-runc passes on no environment but its own.
func marked(t *testing.T, rt *harness.Runtime) string {
	t.Helper()
	path := filepath.Join(rt.Dir, "runtime")
	text := fmt.Sprintf("#!/bin/sh\nRUNSC_RECOVER_TEST=%s exec %s \"$@\"\n", rt.Dir, rt.Binary)
	harness.WriteProgram(t, path, []byte(text))
	return path
}

// must ends the test unless err is nil.
func (c *client) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// output is an IO whose standard output and error go to one file.
type output struct {
	runc.IO
	t    *testing.T
	file *os.File
}

// newOutput returns an output with an empty standard input.
func (c *client) newOutput(name string) *output {
	c.t.Helper()
	io, err := runc.NewNullIO()
	c.must(err)
	f, err := os.Create(filepath.Join(c.Dir, name+".out"))
	c.must(err)
	c.t.Cleanup(func() { f.Close(); io.Close() })
	return &output{IO: io, t: c.t, file: f}
}

func (o *output) Set(cmd *execCmd) {
	o.IO.Set(cmd)
	cmd.Stdout, cmd.Stderr = o.file, o.file
}

func (o *output) text() string {
	o.t.Helper()
	b, err := os.ReadFile(o.file.Name())
	if err != nil {
		o.t.Fatal(err)
	}
	return string(b)
}

// says waits until text was printed so many times.
func (o *output) says(text string, times int) {
	o.t.Helper()
	harness.Until(o.t, 30*time.Second, fmt.Sprintf("%q %d times", text, times), func() (bool, string) {
		s := o.text()
		return strings.Count(s, text) >= times, s
	})
}

// container is one that go-runc made.
type container struct {
	*client
	id  string
	pid int
	out *output
	dir string // its bundle
}

// start creates and starts a container.
func (c *client) start(b *harness.Bundle) *container {
	c.t.Helper()
	ct := c.create(b)
	c.must(c.Runc.Start(c.ctx, ct.id))
	return ct
}

func (c *client) create(b *harness.Bundle) *container {
	c.t.Helper()
	ct := &container{client: c, id: c.NewID(), dir: b.Dir}
	ct.out = c.newOutput(ct.id)
	pidFile := filepath.Join(c.Dir, ct.id+".pid")
	c.must(c.Runc.Create(c.ctx, ct.id, b.Dir, &runc.CreateOpts{IO: ct.out, PidFile: pidFile}))
	var err error
	ct.pid, err = runc.ReadPidFile(pidFile)
	c.must(err)
	return ct
}

// state is the container's, which must be found.
func (ct *container) state() *runc.Container {
	ct.t.Helper()
	s, err := ct.Runc.State(ct.ctx, ct.id)
	ct.must(err)
	return s
}

// rollBack makes the container fail and waits for its copy to run.
func (ct *container) rollBack() {
	ct.t.Helper()
	ct.Do("checkpoint", "--into-store", ct.id)
	ct.Do("fail", "--message", "test", ct.id)
}

// stats asks until go-runc has read the answer: it may close the pipe first,
// when the command is quick.
func (ct *container) stats() *runc.Stats {
	ct.t.Helper()
	for {
		s, err := ct.Runc.Stats(ct.ctx, ct.id)
		if errors.Is(err, os.ErrClosed) {
			continue
		}
		ct.must(err)
		return s
	}
}

// reaches waits for a status.
func (ct *container) reaches(status string) {
	ct.t.Helper()
	harness.Until(ct.t, 30*time.Second, "status "+status, func() (bool, string) {
		s := ct.state().Status
		return s == status, s
	})
}

// exec runs a shell script in the container and returns its output.
func (ct *container) exec(script string) (string, error) {
	ct.t.Helper()
	out := ct.newOutput(fmt.Sprintf("exec-%d", time.Now().UnixNano()))
	err := ct.Runc.Exec(ct.ctx, ct.id, process("/bin/sh", "-c", script), &runc.ExecOpts{IO: out})
	return out.text(), err
}
