package statedir

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"runsc-recover/oci/errdefs"
)

func TestValidateID(t *testing.T) {
	for _, id := range []string{"a", "web-1", "A_b+c.d", "...", "..a", strings.Repeat("x", 255)} {
		if err := ValidateID(id); err != nil {
			t.Errorf("%q: %v", id, err)
		}
	}
	for _, id := range []string{"", ".", "..", "a/b", "a b", "ä", "a\n", "a\x00", "../x", strings.Repeat("x", 256)} {
		if err := ValidateID(id); !errors.Is(err, errdefs.ErrInvalidID) {
			t.Errorf("%q: error %v", id, err)
		}
	}
}

func TestMakeDir(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	d, l, err := MakeDir(root, "web")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Unlock()
	fi, err := os.Stat(string(d))
	if err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("directory %v, %v", fi, err)
	}
	if d.ID() != "web" || d.Root() != root {
		t.Errorf("id %q, root %q", d.ID(), d.Root())
	}
	if _, _, err := MakeDir(root, "web"); !errors.Is(err, errdefs.ErrExist) {
		t.Errorf("second: %v", err)
	}
	if _, _, err := MakeDir(root, ".."); !errors.Is(err, errdefs.ErrInvalidID) {
		t.Errorf("bad id: %v", err)
	}
	if got, err := FindDir(root, "web"); err != nil || got != d {
		t.Errorf("find: %q, %v", got, err)
	}
	if _, err := FindDir(root, "other"); !errors.Is(err, errdefs.ErrNotExist) {
		t.Errorf("find another: %v", err)
	}
}

func TestListDirs(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"b", "a", "not an id"} {
		if err := os.Mkdir(filepath.Join(root, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dirs, err := ListDirs(root)
	if err != nil || len(dirs) != 2 || dirs[0].ID() != "a" || dirs[1].ID() != "b" {
		t.Errorf("got %v, %v", dirs, err)
	}
	if dirs, err := ListDirs(filepath.Join(root, "missing")); err != nil || dirs != nil {
		t.Errorf("missing root: %v, %v", dirs, err)
	}
}

func TestLockIsExclusive(t *testing.T) {
	d, first, err := MakeDir(t.TempDir(), "x")
	if err != nil {
		t.Fatal(err)
	}
	held := make(chan struct{})
	second := make(chan error)
	go func() {
		l, err := d.Lock()
		select {
		case <-held:
		default:
			err = errors.New("got the lock while it was held")
		}
		if l != nil {
			l.Unlock()
		}
		second <- err
	}()
	waitForFlockWaiter(t, d)
	close(held)
	first.Unlock()
	if err := <-second; err != nil {
		t.Error(err)
	}
}

func TestLockOfDeletedContainer(t *testing.T) {
	d, first, err := MakeDir(t.TempDir(), "x")
	if err != nil {
		t.Fatal(err)
	}
	second := make(chan error)
	go func() {
		_, err := d.Lock()
		second <- err
	}()
	waitForFlockWaiter(t, d)
	if err := os.RemoveAll(string(d)); err != nil {
		t.Fatal(err)
	}
	first.Unlock()
	if err := <-second; !errors.Is(err, errdefs.ErrNotExist) {
		t.Errorf("lock of a deleted container: %v", err)
	}
	if _, err := d.Lock(); !errors.Is(err, errdefs.ErrNotExist) {
		t.Errorf("lock of a missing container: %v", err)
	}
}

// waitForFlockWaiter returns once there is a waiter for the lock.
func waitForFlockWaiter(t *testing.T, d Dir) {
	t.Helper()
	for t.Context().Err() == nil {
		b, err := os.ReadFile("/proc/locks")
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), "-> FLOCK") && lockedBy(t, d, string(b)) {
			return
		}
	}
}

// lockedBy reports whether a waiter in /proc/locks waits for d's lock.
func lockedBy(t *testing.T, d Dir, locks string) bool {
	t.Helper()
	fi, err := os.Stat(d.LockFile())
	if err != nil {
		t.Fatal(err)
	}
	suffix := ":" + inode(fi)
	for line := range strings.Lines(locks) {
		f := strings.Fields(line)
		if len(f) > 6 && f[1] == "->" && strings.HasSuffix(f[6], suffix) {
			return true
		}
	}
	return false
}
