package runc

import (
	"errors"
	"os/exec"
	"testing"

	runc "github.com/containerd/go-runc"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

type execCmd = exec.Cmd

// process is one that exec can run.
func process(args ...string) specs.Process {
	return specs.Process{Args: args, Cwd: "/", Env: []string{"PATH=/bin"}}
}

// wantStatus checks the exit status in an error of go-runc.
func wantStatus(t *testing.T, err error, want int) {
	t.Helper()
	var exit *runc.ExitError
	if !errors.As(err, &exit) || exit.Status != want {
		t.Errorf("want exit status %d, got %v", want, err)
	}
}
