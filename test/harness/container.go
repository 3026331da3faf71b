package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Container is a container that a test made.
type Container struct {
	rt      *Runtime
	ID      string
	Bundle  *Bundle
	Pid     int
	output  string // file of its stdout and stderr
	deleted bool
}

// NewID is an id that no other test on this host uses.
func (rt *Runtime) NewID() string {
	return fmt.Sprintf("%s-%d", filepath.Base(rt.Dir), rt.containers.Add(1))
}

// Create creates a container. Its output goes to a file, and its stdin is
// empty.
func (rt *Runtime) Create(b *Bundle, flags ...string) *Container {
	rt.t.Helper()
	c := &Container{rt: rt, ID: rt.NewID(), Bundle: b}
	c.output = filepath.Join(rt.Dir, c.ID+".out")
	pidFile := filepath.Join(rt.Dir, c.ID+".pid")
	out, err := os.Create(c.output)
	must(rt.t, err)
	defer out.Close()
	errFile, err := os.Create(filepath.Join(rt.Dir, c.ID+".err"))
	must(rt.t, err)
	defer errFile.Close()
	ctx, cancel := context.WithTimeout(context.Background(), CommandTimeout())
	defer cancel()
	args := append([]string{"--log", filepath.Join(rt.Dir, c.ID+".create.log"), "create", "--bundle", b.Dir, "--pid-file", pidFile}, flags...)
	cmd := rt.Command(ctx, append(args, c.ID)...)
	cmd.Stdout, cmd.Stderr = out, errFile
	if err := cmd.Run(); err != nil {
		rt.t.Fatalf("create: %v\n%s", err, tail(errFile.Name()))
	}
	pid, err := os.ReadFile(pidFile)
	must(rt.t, err)
	c.Pid, err = strconv.Atoi(strings.TrimSpace(string(pid)))
	must(rt.t, err)
	return c
}

// Start creates and starts a container.
func (rt *Runtime) Start(b *Bundle, flags ...string) *Container {
	rt.t.Helper()
	c := rt.Create(b, flags...)
	rt.Do("start", c.ID)
	return c
}

// Dies kills the supervisor and waits for the container to be seen as stopped.
func (c *Container) Dies() {
	c.rt.t.Helper()
	must(c.rt.t, unix.Kill(c.Pid, unix.SIGKILL))
	c.Exits(137)
	c.Reaches("stopped")
}

// TryBack tries to bring the container back from its store. Its output goes on
// in the same file.
func (c *Container) TryBack(flags ...string) error {
	c.rt.t.Helper()
	pidFile := filepath.Join(c.rt.Dir, c.ID+".pid")
	out, err := os.OpenFile(c.output, os.O_WRONLY|os.O_APPEND, 0)
	must(c.rt.t, err)
	defer out.Close()
	ctx, cancel := context.WithTimeout(context.Background(), CommandTimeout())
	defer cancel()
	args := append([]string{"--log", filepath.Join(c.rt.Dir, c.ID+".create.log"), "restore", "--from-store", "--detach", "--pid-file", pidFile}, flags...)
	cmd := c.rt.Command(ctx, append(args, c.ID)...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("bring %s back: %w\n%s", c.ID, err, tail(c.output))
	}
	pid, err := os.ReadFile(pidFile)
	must(c.rt.t, err)
	c.Pid, err = strconv.Atoi(strings.TrimSpace(string(pid)))
	must(c.rt.t, err)
	return nil
}

// Back is TryBack that must work.
func (c *Container) Back(flags ...string) {
	c.rt.t.Helper()
	must(c.rt.t, c.TryBack(flags...))
}

// Output is the container's output so far, stdout and stderr.
func (c *Container) Output() string {
	out, err := os.ReadFile(c.output)
	must(c.rt.t, err)
	return string(out)
}

// Log is the supervisor's log so far.
func (c *Container) Log() string {
	text, err := os.ReadFile(filepath.Join(c.rt.Dir, c.ID+".create.log"))
	must(c.rt.t, err)
	return string(text)
}

// Says waits until the container has printed text so many times.
func (c *Container) Says(text string, times int) {
	c.rt.t.Helper()
	Until(c.rt.t, 30*time.Second, fmt.Sprintf("%q %d times", text, times), func() (bool, string) {
		out := c.Output()
		return strings.Count(out, text) >= times, out
	})
}

// Exit waits for the supervisor, as its parent does, and returns the exit status
// that a parent sees.
func (c *Container) Exit() int {
	c.rt.t.Helper()
	status := -1
	Until(c.rt.t, 60*time.Second, "exit of "+c.ID, func() (bool, string) {
		var ws unix.WaitStatus
		pid, err := unix.Wait4(c.Pid, &ws, unix.WNOHANG, nil)
		if errors.Is(err, unix.EINTR) {
			return false, err.Error()
		}
		if err != nil {
			c.rt.t.Fatalf("wait for %d, which should be ours: %v", c.Pid, err)
		}
		if pid == 0 {
			return false, "it runs; output: " + c.Output()
		}
		status = ws.ExitStatus()
		if ws.Signaled() {
			status = 128 + int(ws.Signal())
		}
		return true, ""
	})
	return status
}

// Exits waits for the end and checks the status.
func (c *Container) Exits(want int) {
	c.rt.t.Helper()
	if got := c.Exit(); got != want {
		c.rt.t.Errorf("%s ended with %d, want %d; output:\n%s", c.ID, got, want, c.Output())
	}
}

// State is the output of `state`.
type State struct {
	Version     string            `json:"ociVersion"`
	ID          string            `json:"id"`
	Status      string            `json:"status"`
	Pid         int               `json:"pid"`
	Bundle      string            `json:"bundle"`
	Rootfs      string            `json:"rootfs"`
	Created     time.Time         `json:"created"`
	Annotations map[string]string `json:"annotations"`
	Owner       string            `json:"owner"`
	Standby     Standby           `json:"standby"`
}

// Standby is how far a copy is prepared.
type Standby struct {
	Kind       string    `json:"kind"`
	Since      time.Time `json:"since"`
	Generation int       `json:"generation"`
	Checkpoint uint64    `json:"checkpoint"`
	Reason     string    `json:"reason"`
}

// State asks for the container's state.
func (c *Container) State() State {
	c.rt.t.Helper()
	return JSON[State](c.rt, "state", c.ID)
}

// StandsBy waits for a standby of a kind, in a later generation than after.
func (c *Container) StandsBy(kind string, after int) Standby {
	c.rt.t.Helper()
	var s Standby
	Until(c.rt.t, 30*time.Second, "standby "+kind, func() (bool, string) {
		s = c.State().Standby
		return s.Kind == kind && s.Generation > after, fmt.Sprintf("%+v", s)
	})
	return s
}

// Reaches waits for a status.
func (c *Container) Reaches(status string) {
	c.rt.t.Helper()
	Until(c.rt.t, 30*time.Second, "status "+status, func() (bool, string) {
		s := c.State().Status
		return s == status, s
	})
}

// Delete removes the container, which must work.
func (c *Container) Delete(flags ...string) {
	c.rt.t.Helper()
	c.rt.Do(append(append([]string{"delete"}, flags...), c.ID)...)
	c.deleted = true
}

// Attempt is one copy's try, as `episodes show` prints it.
type Attempt struct {
	Attempt       int      `json:"attempt"`
	Level         int      `json:"level"`
	CheckpointSeq uint64   `json:"checkpoint_seq"`
	Outcome       string   `json:"outcome"`
	Standby       string   `json:"standby"`
	Reasons       []string `json:"reasons"`
	StopMS        float64  `json:"stop_ms"`
	RestoreMS     float64  `json:"restore_ms"`
	InterruptMS   float64  `json:"interrupt_ms"`
}

// Episode is a failure's record, as `episodes show` prints it.
type Episode struct {
	Episode   int       `json:"episode"`
	Kind      string    `json:"kind"`
	Code      int       `json:"code"`
	Signal    int       `json:"signal"`
	Message   string    `json:"message"`
	Key       string    `json:"key"`
	FaultIP   string    `json:"fault_ip"`
	FaultAddr string    `json:"fault_addr"`
	Outcome   string    `json:"outcome"`
	Attempts  []Attempt `json:"attempts"`
	Reasons   []string  `json:"reasons"`
}

// Episodes reads the container's records.
func (c *Container) Episodes() []Episode {
	c.rt.t.Helper()
	return JSON[[]Episode](c.rt, "episodes", "show", "--format", "json", c.ID)
}

// Recovered waits for so many episodes to end as recovered.
func (c *Container) Recovered(n int) []Episode {
	c.rt.t.Helper()
	var episodes []Episode
	Until(c.rt.t, 60*time.Second, fmt.Sprintf("%d recovered episodes", n), func() (bool, string) {
		episodes = c.Episodes()
		recovered := 0
		for _, e := range episodes {
			if e.Outcome == "recovered" {
				recovered++
			}
		}
		return recovered >= n, fmt.Sprintf("%+v", episodes)
	})
	return episodes
}

// Checkpoint is a checkpoint as listed.
type Checkpoint struct {
	Seq     uint64   `json:"seq"`
	Trigger string   `json:"trigger"`
	Reasons []string `json:"reasons"`
	Error   string   `json:"error"`
	Pages   struct {
		Bytes    int64  `json:"bytes"`
		Changed  int64  `json:"changed_bytes"`
		Stored   int64  `json:"stored_bytes"`
		Tracking string `json:"tracking"`
	} `json:"pages"`
}

// Checkpoints lists the container's checkpoints.
func (c *Container) Checkpoints() []Checkpoint {
	c.rt.t.Helper()
	return JSON[[]Checkpoint](c.rt, "checkpoints", "list", "--format", "json", c.ID)
}

// HasCheckpoints waits for so many checkpoints to be there.
func (c *Container) HasCheckpoints(n int) {
	c.rt.t.Helper()
	Until(c.rt.t, 30*time.Second, fmt.Sprintf("%d checkpoints", n), func() (bool, string) {
		l := c.Checkpoints()
		return len(l) >= n, fmt.Sprintf("%+v", l)
	})
}
