package specconv

import (
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestEnforceableLeavesTheOriginalAlone(t *testing.T) {
	zero, weight, limit, on := uint64(0), uint16(0), int64(1<<20), false
	res := &specs.LinuxResources{
		Devices: []specs.LinuxDeviceCgroup{{Allow: false}},
		CPU:     &specs.LinuxCPU{Shares: &zero, Cpus: "0"},
		Memory:  &specs.LinuxMemory{Limit: &limit, Swap: new(int64), DisableOOMKiller: &on},
		BlockIO: &specs.LinuxBlockIO{Weight: &weight},
		Pids:    &specs.LinuxPids{},
	}
	got := Enforceable(res)
	if got.Devices != nil || got.CPU.Shares != nil || got.Memory.Swap != nil || got.Memory.DisableOOMKiller != nil ||
		got.BlockIO.Weight != nil || got.Pids != nil {
		t.Errorf("got %+v", got)
	}
	if got.CPU.Cpus != "0" || got.Memory.Limit != &limit {
		t.Errorf("what is set is gone: %+v", got)
	}
	if res.Devices == nil || res.CPU.Shares == nil {
		t.Error("the original changed")
	}
}
