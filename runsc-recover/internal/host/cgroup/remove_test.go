package cgroup

import (
	"os"
	"path/filepath"
	"testing"

	"runsc-recover/test/expect"
)

func TestRemoveTakesWholeTrees(t *testing.T) {
	root := t.TempDir()
	deep := filepath.Join(root, "a", "b", "c")
	if err := os.MkdirAll(deep, 0o700); err != nil {
		t.Fatal(err)
	}
	dirs := []string{filepath.Join(root, "a"), filepath.Join(root, "a"), filepath.Join(root, "never made")}
	expect.Equal(t, "error", Remove("", dirs), nil)
	expect.Equal(t, "again, with a scope that is gone", Remove("rr-no-such-unit.scope", dirs), nil)
	_, err := os.Stat(filepath.Join(root, "a"))
	expect.Equal(t, "gone", os.IsNotExist(err), true)
}

func TestRemoveReportsDirectoriesThatStay(t *testing.T) {
	busy := t.TempDir()
	writeFile(t, busy, "file", "") // as a process is to a cgroup
	free := t.TempDir()
	if err := removeDirs([]string{busy, free}); err == nil {
		t.Error("a directory that stays isn't reported")
	}
	_, err := os.Stat(free)
	expect.Equal(t, "the other is gone", os.IsNotExist(err), true)
}
