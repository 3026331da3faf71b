package cgroup

import (
	"errors"
	"testing"

	"runsc-recover/test/expect"
)

func TestReclaimableMemoryIsFree(t *testing.T) {
	expect.Equal(t, "use", newMemoryUse(10, 4, 1<<62), MemoryUse{Used: 6})
}

func TestLegacyMemory(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"memory.usage_in_bytes": "1000\n",
		"memory.stat":           "cache 1\nhierarchical_memory_limit 5000\ntotal_inactive_file 100\ntotal_active_file 200\n",
	} {
		writeFile(t, dir, name, text)
	}
	use, err := legacyMemory(dir).read()
	expect.Equal(t, "error", err, nil)
	expect.Equal(t, "use", use, MemoryUse{Used: 700, Limit: 5000})
	if _, err := legacyMemory("").read(); !errors.Is(err, errNoMemoryController) {
		t.Errorf("without the controller: %v", err)
	}
}
