package cleanup

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"runsc-recover/checkpoint/config"
	"runsc-recover/oci/statedir"
	"runsc-recover/test/expect"
)

func TestCleanupRemovesWhatIsLeft(t *testing.T) {
	root := t.TempDir()
	dir, lock, err := statedir.MakeDir(root, "c")
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock()
	left := exec.Command("sleep", "1000")
	if err := left.Start(); err != nil {
		t.Fatal(err)
	}
	go left.Wait()
	proc, err := statedir.FindProcess(left.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	store := t.TempDir()
	for _, d := range []string{dir.GenerationDir(1), filepath.Join(store, "c", "1"), filepath.Join(store, "other")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	mounted := filepath.Join(dir.GenerationDir(1), "mounted here")
	if os.Geteuid() == 0 {
		mountTmpfs(t, mounted)
	}
	st := &statedir.State{
		ID:     "c",
		Policy: config.Config{Store: store},
		Sandboxes: []statedir.Sandbox{{Processes: []statedir.Process{
			proc,
			{Pid: os.Getpid(), StartTime: 1}, // ours now, another's then
		}}},
	}
	if err := Cleanup(dir, st); err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "sandbox is alive", proc.Alive(), false)
	for path, want := range map[string]bool{string(dir): false, filepath.Join(store, "c"): false, filepath.Join(store, "other"): true} {
		_, err := os.Stat(path)
		expect.Equal(t, path, err == nil, want)
	}
	if err := Cleanup(dir, st); err != nil {
		t.Errorf("again: %v", err)
	}
}

func mountTmpfs(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", path, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(path, unix.MNT_DETACH) })
}

// A container that is resumed keeps all that it is resumed with.
func TestResetKeepsStateAndCheckpoints(t *testing.T) {
	dir, lock, err := statedir.MakeDir(t.TempDir(), "c")
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock()
	kept := []string{dir.StateFile(), dir.EpisodesFile(), dir.LogFile(), filepath.Join(dir.StoreDir(), "1")}
	gone := []string{dir.ControlSocket(), dir.NetworkFile(), dir.MaskFile(), filepath.Join(dir.NotifyDir(), "s"), filepath.Join(dir.GenerationDir(3), "x")}
	for _, path := range append(kept, gone...) {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	expect.Equal(t, "error", Reset(dir, &statedir.State{ID: "c"}), nil)
	for _, path := range append(kept, dir.LockFile()) {
		_, err := os.Stat(path)
		expect.Equal(t, path, err, nil)
	}
	for _, path := range gone {
		_, err := os.Stat(path)
		expect.Equal(t, path, os.IsNotExist(err), true)
	}
}
