package oci

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/oci/errdefs"
)

// maxHookOutput bounds the part of a hook's output that its error quotes, in bytes:
// the last.
const maxHookOutput = 4 << 10

// RunHooks runs the hooks one after the other with the state on their standard
// input, each bounded by its own timeout, and stops at the first that fails.
// Errors: CodeHook.
func RunHooks(ctx context.Context, name string, hooks []specs.Hook, state specs.State) error {
	stdin, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("encode state for hooks: %w", err)
	}
	for i, h := range hooks {
		if err := runHook(ctx, h, stdin); err != nil {
			return errdefs.Errorf(errdefs.CodeHook, "error running %s hook #%d: %w", name, i, err)
		}
	}
	return nil
}

// RunAllHooks runs every hook even when some fail, as is right where the
// container goes on regardless (poststart, poststop), and joins the errors.
func RunAllHooks(ctx context.Context, name string, hooks []specs.Hook, state specs.State) error {
	var errs []error
	for i := range hooks {
		errs = append(errs, RunHooks(ctx, name, hooks[i:i+1], state))
	}
	return errors.Join(errs...)
}

func runHook(ctx context.Context, h specs.Hook, stdin []byte) error {
	if h.Timeout != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(*h.Timeout)*time.Second)
		defer cancel()
	}
	out := &tail{limit: maxHookOutput}
	cmd := exec.CommandContext(ctx, h.Path)
	if len(h.Args) > 0 {
		cmd.Args = h.Args
	}
	cmd.Env = h.Env
	if cmd.Env == nil {
		cmd.Env = []string{} // nil would hand down this process's
	}
	cmd.Stdin = bytes.NewReader(stdin)
	cmd.Stdout, cmd.Stderr = out, out
	// A hook's child that keeps its output open must not hold the container.
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	switch {
	case errors.Is(err, exec.ErrWaitDelay):
		return nil
	case err == nil:
		return nil
	case h.Timeout != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("%s ran past timeout of %d.0s", h.Path, *h.Timeout)
	}
	return fmt.Errorf("%s: %w, stdout and stderr: %s", h.Path, err, strings.TrimSpace(string(out.b)))
}

// tail is a writer that keeps the last limit bytes.
type tail struct {
	b     []byte
	limit int
}

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if n := len(t.b) - t.limit; n > 0 {
		t.b = append(t.b[:0], t.b[n:]...)
	}
	return len(p), nil
}
