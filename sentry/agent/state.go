package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"gvisor.dev/gvisor/pkg/log"
	"gvisor.dev/gvisor/pkg/sentry/kernel"
	"gvisor.dev/gvisor/pkg/state"

	"runsc-recover/sentry/tcpreset"
)

// stateKey is the agent's place in a checkpoint's additional state.
const stateKey = "runsc-recover"

// savedState is the agent's part of a checkpoint: an object of the kernel's
// graph whose one field is a snapshot in JSON. It is encoded while the kernel is
// paused. Key, type name, field and JSON are read by later versions: a
// checkpoint on disk may be older than the binary.
type savedState struct{}

// snapshot is the agent's state in a checkpoint.
type snapshot struct {
	// Attached are the attachments, by process.
	Attached map[kernel.ThreadID]attachment `json:"attached"`
	// Waiting are the tasks in RECOVER_CHECKPOINT.
	Waiting map[kernel.ThreadID]callSite `json:"waiting"`
	// Heartbeats are the timeouts of the armed ones, in nanoseconds.
	Heartbeats map[kernel.ThreadID]time.Duration `json:"heartbeats"`
	// Connections are the TCP connections that reach outside, as tcpreset.Encode
	// writes them. The network stack is paused while they are listed.
	Connections []byte `json:"connections"`
}

// StateTypeName implements state.Type.
func (*savedState) StateTypeName() string { return "runsc-recover/sentry/agent.savedState" }

// StateFields implements state.Type.
func (*savedState) StateFields() []string { return []string{"snapshot"} }

// StateSave implements state.SaverLoader.
func (*savedState) StateSave(sink state.Sink) {
	text, err := json.Marshal(loadedAgent.Load().snapshot())
	if err != nil {
		panic(fmt.Sprintf("encode the agent's state: %v", err)) // package save recovers from it
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

// snapshot returns the state of now.
//
// Preconditions: the kernel is paused.
func (a *Agent) snapshot() snapshot {
	a.mu.Lock()
	defer a.mu.Unlock()
	return snapshot{
		Attached:    maps.Clone(a.attached),
		Waiting:     a.parked.undecided(),
		Heartbeats:  a.heartbeats.Timeouts(),
		Connections: tcpreset.Encode(tcpreset.List(netstackOf(a.k))),
	}
}

// restore adopts the kernel of a copy and its checkpoint's snapshot. The
// checkpoint was verified, but its contents are the sandbox's own: a snapshot
// that can't be decoded is taken for an empty one.
func (a *Agent) restore(k *kernel.Kernel, text string) {
	var s snapshot
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		log.Warningf("recover: the checkpoint's agent state is malformed: %v", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.k = k
	a.saver.SetRestored(k)
	a.restoredConnections = s.Connections
	maps.Copy(a.attached, s.Attached)
	a.parked.restore(s.Waiting)
	a.heartbeats.Restore(s.Heartbeats)
}
