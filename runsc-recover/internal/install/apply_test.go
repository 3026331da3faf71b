package install

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"runsc-recover/test/expect"
)

func readFile(t *testing.T, path string) (text string, mode os.FileMode) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b), fi.Mode().Perm()
}

func TestApply(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, OwnDir, "wrapper")
	expect.Equal(t, "make", Change{Path: path, New: []byte("a"), Mode: 0o757}.Apply(), nil)
	text, mode := readFile(t, path)
	expect.Equal(t, "text", text, "a")
	expect.Equal(t, "mode, whatever the umask", mode, 0o757)

	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "change", Change{Path: link, Old: []byte("a"), New: []byte("b"), Mode: 0o755}.Apply(), nil)
	text, mode = readFile(t, path)
	expect.Equal(t, "text", text, "b")
	expect.Equal(t, "mode", mode, 0o640)
	fi, err := os.Lstat(link)
	expect.Equal(t, "link", err == nil && fi.Mode().Type() == os.ModeSymlink, true)

	expect.Equal(t, "remove", Change{Path: path, Old: []byte("b")}.Apply(), nil)
	_, err = os.Stat(filepath.Dir(path))
	expect.Equal(t, "directory of our own", errors.Is(err, os.ErrNotExist), true)
	expect.Equal(t, "remove again", Change{Path: path}.Apply(), nil)
}

// TestApplyLeavesOthersAlone has a directory of our own with a file in it, and
// one that can't be written to.
func TestApplyLeavesOthersAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), OwnDir)
	for _, name := range []string{"ours", "theirs"} {
		expect.Equal(t, name, Change{Path: filepath.Join(dir, name), New: []byte("x"), Mode: 0o600}.Apply(), nil)
	}
	expect.Equal(t, "remove", Change{Path: filepath.Join(dir, "ours"), Old: []byte("x")}.Apply(), nil)
	text, _ := readFile(t, filepath.Join(dir, "theirs"))
	expect.Equal(t, "text", text, "x")
	if err := (Change{Path: filepath.Join(dir, "theirs", "below"), New: []byte("y")}).Apply(); err == nil {
		t.Error("a file was made below a file")
	}
}
