package engines

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"runsc-recover/test/harness"
)

// engine is one that is driven by docker's command line, or one like it.
type engine struct {
	world  *world
	name   string   // docker, podman
	client []string // the command line up to the verb
	run    []string // flags of every run and create
	root   string   // the runtime's --root
	bridge string   // the host's address in the containers' network
	daemon *daemon  // nil for podman, which has none
	count  *atomic.Int32
	// shares are the flags of a container whose network others can join, and
	// off those of one that isn't rolled back.
	shares, off []string
}

// with is the engine with another runtime for its containers.
func (e *engine) with(runtime string) *engine {
	other := *e
	if e.name == "podman" {
		other.client = append(slices.Clone(e.client[:len(e.client)-1]), runtime)
		other.run = append(slices.Clone(e.run), "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024") // podman asks for more than it may set everywhere
	} else {
		other.run = []string{"--runtime", runtime}
	}
	return &other
}

// try runs a command of the engine and returns how it ended.
func (e *engine) try(t *testing.T, args ...string) harness.Result {
	t.Helper()
	return e.world.try(t, "", slices.Concat(e.client, args)...)
}

// do runs a command that must work and returns its output.
func (e *engine) do(t *testing.T, args ...string) string {
	t.Helper()
	return e.doWith(t, "", args...)
}

// doWith is do with something on standard input.
func (e *engine) doWith(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	r := e.world.try(t, stdin, slices.Concat(e.client, args)...)
	if r.Code != 0 {
		t.Fatalf("%v", r)
	}
	return strings.TrimSpace(r.Stdout)
}

// runtime runs a command of the runtime itself.
func (e *engine) runtime(t *testing.T, args ...string) string {
	t.Helper()
	r := e.world.try(t, "", slices.Concat([]string{e.world.binary, "--root", e.root}, args)...)
	if r.Code != 0 {
		t.Fatalf("%v", r)
	}
	return r.Stdout
}

// once runs a container that ends, with flags, and returns how it ended.
func (e *engine) once(t *testing.T, flags []string, command ...string) harness.Result {
	t.Helper()
	return e.try(t, slices.Concat([]string{"run", "--rm"}, e.run, flags, []string{imageName}, command)...)
}

// prints runs a container that must end with 0 and returns its output.
func (e *engine) prints(t *testing.T, flags []string, command ...string) string {
	t.Helper()
	r := e.once(t, flags, command...)
	if r.Code != 0 {
		t.Fatalf("%v", r)
	}
	return strings.TrimSpace(r.Stdout)
}

// container is one that runs in the background.
type container struct {
	e    *engine
	name string
}

// newName is a name that no other container has.
func (e *engine) newName() string { return fmt.Sprintf("c%d", e.count.Add(1)) }

// start runs a container in the background, which is removed with the test.
func (e *engine) start(t *testing.T, flags []string, command ...string) *container {
	t.Helper()
	c := &container{e: e, name: e.newName()}
	e.removeLater(t, c.name)
	e.do(t, slices.Concat([]string{"run", "-d", "--name", c.name}, e.run, flags, []string{imageName}, command)...)
	return c
}

func (e *engine) removeLater(t *testing.T, name string) {
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s: %s", name, e.try(t, "logs", name).Stdout)
		}
		e.try(t, "rm", "-f", name)
	})
}

// server runs the echo server in the background and waits until it listens.
func (e *engine) server(t *testing.T, flags ...string) *container {
	t.Helper()
	c := e.start(t, flags, "echo-server")
	c.says(t, "ready", 1)
	return c
}

// do runs a verb of the engine on the container.
func (c *container) do(t *testing.T, verb string, args ...string) string {
	t.Helper()
	return c.e.do(t, slices.Concat([]string{verb}, args, []string{c.name})...)
}

// exec runs a command in the container.
func (c *container) exec(t *testing.T, command ...string) string {
	t.Helper()
	return c.e.do(t, slices.Concat([]string{"exec", c.name}, command)...)
}

// says waits until the log has text so many times.
func (c *container) says(t *testing.T, text string, times int) {
	t.Helper()
	harness.Until(t, 30*time.Second, fmt.Sprintf("%q %d times in the log", text, times), func() (bool, string) {
		out := c.do(t, "logs")
		return strings.Count(out, text) >= times, out
	})
}

// inspected is the engine's description of the container.
type inspected struct {
	ID    string `json:"Id"`
	State struct {
		Status    string
		Pid       int
		ExitCode  int
		OOMKilled bool
		Error     string
		StartedAt time.Time
		Health    struct{ Status string }
	}
	RestartCount    int
	NetworkSettings struct {
		IPAddress         string
		GlobalIPv6Address string
		MacAddress        string
	}
}

func (c *container) inspect(t *testing.T) inspected {
	t.Helper()
	var all []inspected
	out := c.do(t, "inspect")
	if err := json.Unmarshal([]byte(out), &all); err != nil || len(all) != 1 {
		t.Fatalf("inspect: %v in %s", err, out)
	}
	return all[0]
}

// reaches waits for a status.
func (c *container) reaches(t *testing.T, status string) inspected {
	t.Helper()
	var now inspected
	harness.Until(t, 30*time.Second, c.name+" "+status, func() (bool, string) {
		now = c.inspect(t)
		return now.State.Status == status, fmt.Sprintf("%+v", now)
	})
	return now
}

// isSame checks that the engine sees the container that it saw before.
func (c *container) isSame(t *testing.T, before inspected) {
	t.Helper()
	if now := c.inspect(t); now != before {
		t.Errorf("the container is another one:\nbefore %+v\nafter  %+v", before, now)
	}
}

// checkpoint takes a checkpoint now.
func (c *container) checkpoint(t *testing.T) {
	t.Helper()
	c.e.runtime(t, "checkpoint", "--into-store", c.inspect(t).ID)
}

// rollBack makes the server fail and waits until its copy has been told.
func (c *container) rollBack(t *testing.T) {
	t.Helper()
	times := strings.Count(c.do(t, "logs"), "told 7")
	c.checkpoint(t)
	c.do(t, "kill", "-s", "USR1")
	c.says(t, "told 7", times+1)
}
