package dirtytrack

import (
	"gvisor.dev/gvisor/pkg/abi/linux"
	"gvisor.dev/gvisor/pkg/context"
	"gvisor.dev/gvisor/pkg/hostarch"
	"gvisor.dev/gvisor/pkg/seccomp"
	"gvisor.dev/gvisor/pkg/seccomp/precompiledseccomp"
	"gvisor.dev/gvisor/pkg/sentry/arch"
	"gvisor.dev/gvisor/pkg/sentry/platform"
)

// Wrap returns a platform like p whose address spaces the Tracker watches. p
// must be one on which a write to memory mapped for reading ends Switch with
// SIGSEGV, as systrap is.
func (t *Tracker) Wrap(p platform.Platform) platform.Platform {
	return &tracked{Platform: p, tracker: t}
}

type tracked struct {
	platform.Platform
	tracker *Tracker
}

// NewAddressSpace implements platform.Platform.
func (p *tracked) NewAddressSpace() (platform.AddressSpace, error) {
	as, err := p.Platform.NewAddressSpace()
	if err != nil {
		return nil, err
	}
	s := &space{AddressSpace: as, tracker: p.tracker}
	p.tracker.add(s)
	return s, nil
}

// NewContext implements platform.Platform.
func (p *tracked) NewContext(ctx context.Context) platform.Context {
	return &trackedContext{Context: p.Platform.NewContext(ctx)}
}

// SeccompInfo implements platform.Platform.
func (p *tracked) SeccompInfo() platform.SeccompInfo {
	return seccompInfo{p.Platform.SeccompInfo(), p.tracker}
}

// seccompInfo is the platform's with the Tracker's system calls.
type seccompInfo struct {
	platform.SeccompInfo
	tracker *Tracker
}

// ConfigKey implements platform.SeccompInfo.
func (i seccompInfo) ConfigKey() string { return i.SeccompInfo.ConfigKey() + " " + Name }

// SyscallFilters implements platform.SeccompInfo.
func (i seccompInfo) SyscallFilters(vars precompiledseccomp.Values) seccomp.SyscallRules {
	rules := i.SeccompInfo.SyscallFilters(vars).Copy()
	rules.Merge(i.tracker.Filters())
	return rules
}

// trackedContext is a context of the platform below, which insists on its own
// type of address space.
type trackedContext struct {
	platform.Context
	below below // here to spare an allocation; exclusive to the task goroutine
}

// below is a memory manager as the platform below must see it.
type below struct {
	platform.MemoryManager
	as platform.AddressSpace
}

// AddressSpace implements platform.MemoryManager.
func (b *below) AddressSpace() platform.AddressSpace { return b.as }

// Switch implements platform.Context.
func (c *trackedContext) Switch(ctx context.Context, mm platform.MemoryManager, ac *arch.Context64, cpu int32) (*linux.SignalInfo, hostarch.AccessType, error) {
	s := mm.AddressSpace().(*space)
	c.below = below{mm, s.AddressSpace}
	for {
		info, at, err := c.Context.Switch(ctx, &c.below, ac, cpu)
		if err != platform.ErrContextSignal || linux.Signal(info.Signo) != linux.SIGSEGV || !at.Write || !s.write(info.Addr()) {
			c.below = below{}
			return info, at, err
		}
	}
}

// PullFullState implements platform.Context.
func (c *trackedContext) PullFullState(as platform.AddressSpace, ac *arch.Context64) error {
	return c.Context.PullFullState(as.(*space).AddressSpace, ac)
}
