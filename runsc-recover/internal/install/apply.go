package install

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Apply carries the change out so that a reader sees all of the file's old
// contents or all of the new. A link to a file stays one, and a file keeps its
// mode.
func (c Change) Apply() error {
	path := c.Path
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	if c.New == nil {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("take configuration back: %w", err)
		}
		if dir := filepath.Dir(path); filepath.Base(dir) == OwnDir {
			_ = os.Remove(dir) // unless there is something else in it
		}
		return nil
	}
	mode := c.Mode
	if fi, err := os.Stat(path); err == nil {
		mode = fi.Mode().Perm()
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	temporary := path + ".new"
	if err := os.WriteFile(temporary, c.New, mode); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	// The umask may have taken some of it.
	if err := errors.Join(os.Chmod(temporary, mode), os.Rename(temporary, path)); err != nil {
		return fmt.Errorf("write configuration: %w", errors.Join(err, os.Remove(temporary)))
	}
	return nil
}
