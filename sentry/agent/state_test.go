package agent

import (
	"encoding/json"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/sentry/kernel"

	"runsc-recover/sentry/kerneltest"
	"runsc-recover/test/expect"
)

// stateText is the agent's state in a checkpoint, as every version wrote it.
const stateText = `{"attached":{"1":{"signo":10,"tid":3,"max_level":2},"4":{"signo":0,"max_level":0}},` +
	`"waiting":{"3":{"sp":140737488346112,"ip":4198400}},` +
	`"heartbeats":{"1":1500000000},` +
	`"connections":"AQI="}`

// The names under which checkpoints on disk hold the agent's state.
func TestStateNamesStay(t *testing.T) {
	s := &savedState{}
	expect.Equal(t, "key", stateKey, "runsc-recover")
	expect.Equal(t, "type", s.StateTypeName(), "runsc-recover/sentry/agent.savedState")
	expect.Equal(t, "fields", len(s.StateFields()), 1)
	expect.Equal(t, "field", s.StateFields()[0], "snapshot")
}

func TestStateEncodingStays(t *testing.T) {
	s := snapshot{
		Attached:    map[kernel.ThreadID]attachment{1: {Signo: 10, TID: 3, MaxLevel: 2}, 4: {}},
		Waiting:     map[kernel.ThreadID]callSite{3: {SP: 140737488346112, IP: 4198400}},
		Heartbeats:  map[kernel.ThreadID]time.Duration{1: 1500 * time.Millisecond},
		Connections: []byte{1, 2},
	}
	b, err := json.Marshal(s)
	expect.Equal(t, "error", err, nil)
	expect.Equal(t, "encoding", string(b), stateText)
}

// TestRestoredState: a copy has the agent's state of its checkpoint, and hands
// it on to its own checkpoints.
func TestRestoredState(t *testing.T) {
	a := newAgent()
	k := kerneltest.New(t, nil)
	a.restore(k, stateText)
	expect.Equal(t, "kernel", a.kernel() == k, true)
	expect.Equal(t, "attachments", len(a.attached), 2)
	expect.Equal(t, "an attachment", a.attached[1], attachment{Signo: 10, TID: 3, MaxLevel: 2})
	expect.Equal(t, "connections", string(a.restoredConnections), "\x01\x02")
	_, again := a.parked.park(3, parkedCheckpoint, callSite{SP: 140737488346112, IP: 4198400})
	expect.Equal(t, "the waiting call runs again", again, true)

	s := a.snapshot()
	s.Connections = []byte{1, 2} // those of now: this kernel has no network
	b, err := json.Marshal(s)
	expect.Equal(t, "error", err, nil)
	expect.Equal(t, "the copy's own state", string(b), stateText)
}

// TestEmptyState is that of a program that has made no call.
func TestEmptyState(t *testing.T) {
	a := newAgent()
	a.setKernel(kerneltest.New(t, nil))
	b, err := json.Marshal(a.snapshot())
	expect.Equal(t, "error", err, nil)
	expect.Equal(t, "state", string(b), `{"attached":{},"waiting":{},"heartbeats":{},"connections":null}`)
}

// TestMalformedState: a copy comes up whatever its checkpoint holds for the
// agent.
func TestMalformedState(t *testing.T) {
	for _, text := range []string{
		"", "{", "null", "[]", `"x"`, `{"attached":7}`, `{"attached":{"x":{}}}`, `{"attached":{"1":{"signo":-1}}}`,
		`{"waiting":{"99999999999":{}}}`, `{"heartbeats":{"1":"soon"}}`, `{"connections":"%"}`, `{"connections":null,"more":1}`,
	} {
		a := newAgent()
		a.restore(kerneltest.New(t, nil), text)
		if err := a.release(nil); err != nil {
			t.Errorf("%s: a copy isn't released: %v", text, err)
		}
	}
}
