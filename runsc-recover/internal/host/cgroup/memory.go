package cgroup

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// memoryFiles are the files that hold a cgroup's memory use. They are read
// directly: close to the limit that is done a hundred times a second, and the
// library's statistics read those of all controllers.
type memoryFiles struct {
	dir   string
	usage string // holds a number
	// reclaimable are the names of numbers in memory.stat that add up to the
	// memory that the kernel can take back.
	reclaimable []string
	// limit is the lowest limit of the cgroup and those around it.
	limit func(stat map[string]uint64) uint64
}

func unifiedMemory(dir string) memoryFiles {
	return memoryFiles{dir, "memory.current", []string{"inactive_file", "active_file"},
		func(map[string]uint64) uint64 { return tightestLimit(dir, mountPoint) }}
}

func legacyMemory(dir string) memoryFiles {
	return memoryFiles{dir, "memory.usage_in_bytes", []string{"total_inactive_file", "total_active_file"},
		func(stat map[string]uint64) uint64 { return stat["hierarchical_memory_limit"] }}
}

// read reads the use. Errors: errNoMemoryController where there is no directory.
func (f memoryFiles) read() (MemoryUse, error) {
	if f.dir == "" {
		return MemoryUse{}, errNoMemoryController
	}
	b, err := os.ReadFile(filepath.Join(f.dir, f.usage))
	if err != nil {
		return MemoryUse{}, fmt.Errorf("read cgroup: %w", err)
	}
	used, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		return MemoryUse{}, fmt.Errorf("read cgroup: %s: %w", f.usage, err)
	}
	stat, err := f.statistics()
	if err != nil {
		return MemoryUse{}, err
	}
	reclaimable := uint64(0)
	for _, name := range f.reclaimable {
		reclaimable += stat[name]
	}
	return newMemoryUse(used, reclaimable, f.limit(stat)), nil
}

func (f memoryFiles) statistics() (map[string]uint64, error) {
	b, err := os.ReadFile(filepath.Join(f.dir, "memory.stat"))
	if err != nil {
		return nil, fmt.Errorf("read cgroup: %w", err)
	}
	out := make(map[string]uint64)
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if n, err := strconv.ParseUint(value, 10, 64); err == nil {
			out[name] = n
		}
	}
	return out, nil
}

// errNoMemoryController says that memory isn't counted.
var errNoMemoryController = errors.New("container's memory isn't counted by a cgroup")

// newMemoryUse leaves out reclaimable memory, and limits so high that they mean
// none.
func newMemoryUse(used, reclaimable, limit uint64) MemoryUse {
	const unlimited = 1 << 50
	if limit >= unlimited {
		limit = 0
	}
	return MemoryUse{Used: used - min(used, reclaimable), Limit: limit}
}

// MemoryUse is a container's use of its memory limit, in bytes. Checkpoints that
// are kept in memory count: the sandbox writes them.
type MemoryUse struct {
	Used  uint64 // without memory that the kernel can take back at once
	Limit uint64 // 0 for none
}

// tightestLimit is the lowest memory limit of a cgroup and of those that hold it,
// below top.
func tightestLimit(dir, top string) uint64 {
	limit := uint64(math.MaxUint64)
	for ; len(dir) > len(top); dir = filepath.Dir(dir) {
		b, err := os.ReadFile(filepath.Join(dir, "memory.max"))
		if err != nil {
			continue // its memory isn't controlled
		}
		// "max" is no number, and no limit.
		if n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64); err == nil {
			limit = min(limit, n)
		}
	}
	return limit
}
