package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"gvisor.dev/gvisor/pkg/log"
	"gvisor.dev/gvisor/pkg/sentry/kernel"
	"gvisor.dev/gvisor/pkg/state"

	"runsc-recover/sentry/tcpreset"
)

// stateKey is the agent's place in a checkpoint's additional state.
const stateKey = "runsc-recover"

// savedState is what the agent keeps in a checkpoint: an object of the
// kernel's graph whose one field is snapshot in JSON. It is written while the
// kernel is paused.
type savedState struct{}

// snapshot is the agent's part of a checkpoint.
type snapshot struct {
	Attached map[kernel.ThreadID]attachment `json:"attached"`
	// Waiting are the tasks in RECOVER_CHECKPOINT.
	Waiting map[kernel.ThreadID]callSite `json:"waiting"`
	// Heartbeats are the armed ones' timeouts, in nanoseconds.
	Heartbeats map[kernel.ThreadID]time.Duration `json:"heartbeats"`
	// Connections are those that reach outside. The network stack is paused
	// while they are written.
	Connections []byte `json:"connections"`
}

// callSite tells a restarted call from a new one.
type callSite struct {
	SP uint64 `json:"sp"`
	IP uint64 `json:"ip"`
}

// StateTypeName implements state.Type.
func (*savedState) StateTypeName() string { return "runsc-recover/sentry/agent.savedState" }

// StateFields implements state.Type.
func (*savedState) StateFields() []string { return []string{"snapshot"} }

// StateSave implements state.SaverLoader.
func (*savedState) StateSave(sink state.Sink) {
	text, err := json.Marshal(loadedAgent.Load().snapshot())
	if err != nil {
		panic(fmt.Sprintf("encoding the agent's state: %v", err)) // recovered by save
	}
	sink.SaveValue(0, string(text))
}

// StateLoad implements state.SaverLoader.
func (*savedState) StateLoad(ctx context.Context, source state.Source) {
	var text string
	source.LoadValue(0, new(string), func(v any) { text = v.(string) })
	source.AfterLoad(func() {
		a := loadedAgent.Load()
		a.restore(ctx.Value(kernel.CtxKernel).(*kernel.Kernel), text)
		a.saver.Collector.Booted()
	})
}

func (a *Agent) snapshot() snapshot {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := snapshot{
		Connections: tcpreset.Encode(tcpreset.List(netstackOf(a.k))),
		Attached:    make(map[kernel.ThreadID]attachment),
		Waiting:     make(map[kernel.ThreadID]callSite),
		Heartbeats:  a.heartbeats.Timeouts(),
	}
	for pid, at := range a.attached {
		s.Attached[pid] = at
	}
	for tid, p := range a.parked {
		if p.kind == parkedCheckpoint && p.result == nil {
			s.Waiting[tid] = callSite{SP: p.sp, IP: p.ip}
		}
	}
	return s
}

// restore adopts the kernel of a copy and what the agent knew of it. The
// checkpoint was verified, but its contents are the sandbox's own: what can't
// be decoded is as if nothing had been attached.
func (a *Agent) restore(k *kernel.Kernel, text string) {
	var s snapshot
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		log.Warningf("recover: the checkpoint's agent state is unreadable: %v", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.k = k
	a.saver.SetRestored(k)
	a.restoredConnections = s.Connections
	for pid, at := range s.Attached {
		a.attached[pid] = at
	}
	for tid, site := range s.Waiting {
		a.parked[tid] = &parkedCall{kind: parkedCheckpoint, sp: site.SP, ip: site.IP, decided: make(chan struct{})}
	}
	a.heartbeats.Restore(s.Heartbeats)
}
