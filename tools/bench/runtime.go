package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// A runtime is one of the two that are compared. Both understand runc's
// commands.
type runtime struct {
	name, binary string
	dir          string // of all its files
	guests       string
}

// commandTimeout bounds every single command.
const commandTimeout = 60 * time.Second

// command runs a command of the runtime and returns its output.
func (r runtime) command(ctx context.Context, args ...string) ([]byte, error) {
	return r.commandTo(ctx, nil, args...)
}

// commandTo is command with the output of the container, which lives on, going
// to a file.
func (r runtime) commandTo(ctx context.Context, output *os.File, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	log := filepath.Join(r.dir, "log")
	cmd := exec.CommandContext(ctx, r.binary, append([]string{"--root", filepath.Join(r.dir, "root"), "--log", log}, args...)...)
	var out, errors bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errors
	if output != nil {
		cmd.Stdout, cmd.Stderr = output, output
	}
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s %s: %w: %s%s", r.name, strings.Join(args, " "), err, errors.Bytes(), lastLines(log))
	}
	return out.Bytes(), nil
}

// lastLines is the end of a log, for an error.
func lastLines(file string) string {
	text, _ := os.ReadFile(file)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return "\n" + strings.Join(lines[max(0, len(lines)-5):], "\n")
}

// container is a container that runs.
type container struct {
	runtime runtime
	id      string
	bundle  string
	output  string // file of its output
}

// start runs a program in a new container. The caller must end it.
func (r runtime) start(ctx context.Context, p program) (*container, error) {
	bundle, err := os.MkdirTemp(r.dir, "")
	if err != nil {
		return nil, err
	}
	c := &container{runtime: r, id: "rrb-" + filepath.Base(bundle), bundle: bundle, output: filepath.Join(bundle, "output")}
	if err := p.write(bundle, r.guests); err != nil {
		return nil, fmt.Errorf("make a bundle: %w", err)
	}
	output, err := os.Create(c.output)
	if err != nil {
		return nil, err
	}
	defer output.Close()
	if _, err := r.commandTo(ctx, output, "run", "--detach", "--bundle", bundle, c.id); err != nil {
		said, _ := os.ReadFile(c.output)
		return nil, errors.Join(fmt.Errorf("%w: %s", err, said), c.end())
	}
	return c, nil
}

// end removes the container and its files. It works after an interrupt, too.
func (c *container) end() error {
	_, err := c.runtime.command(context.Background(), "delete", "--force", c.id)
	return errors.Join(err, os.RemoveAll(c.bundle))
}

// do runs a command on the container.
func (c *container) do(ctx context.Context, command string, args ...string) error {
	_, err := c.runtime.command(ctx, append([]string{command, c.id}, args...)...)
	return err
}

// state is a container's state by its runtime. Standby is ours alone.
type state struct {
	Pid     int // on the host: of ours, the supervisor
	Standby standbyState
}

type standbyState struct {
	Kind, Reason string
	Since        time.Time
	Checkpoint   uint64 // held by a hot standby
}

func (c *container) state(ctx context.Context) (state, error) {
	var s state
	text, err := c.runtime.command(ctx, "state", c.id)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("read state: %w", err)
	}
	return s, nil
}

// waitFor waits until the container's output is as wanted.
func (c *container) waitFor(ctx context.Context, title string, wanted func(output string) bool) (string, error) {
	deadline := time.Now().Add(3 * commandTimeout)
	for {
		text, err := os.ReadFile(c.output)
		if err != nil {
			return "", err
		}
		// The text after the last line end isn't complete.
		output := string(text[:bytes.LastIndexByte(text, '\n')+1])
		if wanted(output) {
			return output, nil
		}
		if time.Now().After(deadline) {
			return "", fmt.Errorf("%s of %s: not in time; it said: %.500s", title, c.runtime.name, output)
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// waitForLine waits until the container has printed a line that begins so.
func (c *container) waitForLine(ctx context.Context, word string) (string, error) {
	return c.waitFor(ctx, word, func(output string) bool {
		return strings.HasPrefix(output, word) || strings.Contains(output, "\n"+word)
	})
}
