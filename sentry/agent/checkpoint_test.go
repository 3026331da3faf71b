package agent

import (
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"gvisor.dev/gvisor/pkg/fd"

	"runsc-recover/sentry/capture"
	"runsc-recover/sentry/save"
	"runsc-recover/sentry/wire"
	"runsc-recover/test/expect"
)

func TestSaveCode(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want wire.Code
	}{
		{"the sandbox fails", errFailing, wire.CodeFailing},
		{"no metadata", fmt.Errorf("%w: no loader", save.ErrMetadata), wire.CodeInternal},
		{"no room for pages", fmt.Errorf("save: %w", capture.ErrFull), wire.CodeFull},
		{"no room on the file system", fmt.Errorf("write: %w", unix.ENOSPC), wire.CodeFull},
		{"a limit of the file's size", fmt.Errorf("write: %w", unix.EFBIG), wire.CodeFull},
		{"a quota", fmt.Errorf("write: %w", unix.EDQUOT), wire.CodeFull},
		{"an object that can't be saved", errors.New("save the kernel: a host file"), wire.CodeUnsavable},
	} {
		expect.Equal(t, c.name, saveCode(c.err), c.want)
	}
}

// TestCheckpointFiles: the files of a request have their places by position.
func TestCheckpointFiles(t *testing.T) {
	var files []*fd.FD
	for i := range wire.MaxFiles {
		files = append(files, fd.New(1000+i))
		files[i].Release() // they stand for descriptors, and aren't any
	}
	with, without := checkpointFiles(files), checkpointFiles(files[:wire.MaxFiles-1])
	want := save.Files{Kernel: files[0], PagesMeta: files[1], PageIndex: files[2], Staged: files[3]}
	expect.Equal(t, "without all pages", without, want)
	want.Full = files[4]
	expect.Equal(t, "with all pages", with, want)
}
