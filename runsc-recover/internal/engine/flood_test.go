package engine

import (
	"testing"
	"testing/synctest"
	"time"

	"runsc-recover/runsc-recover/internal/sandbox"
	"runsc-recover/sentry/wire"
	"runsc-recover/test/expect"
)

// TestAFloodOfReportsIsBounded: a sandbox that asks for checkpoints without end, and
// leaves the answers lying, doesn't fill the supervisor's memory.
func TestAFloodOfReportsIsBounded(t *testing.T) {
	scenario(t, func(t *testing.T) {
		w := started(t, func(o *Options) { o.Config.Enabled = false })
		g := w.gen(1)
		g.deaf = make(chan struct{})
		for tid := range int32(2 * maxCalls) {
			g.send(sandbox.Event{Checkpoint: &wire.CheckpointRequest{TID: tid}})
		}
		synctest.Wait()
		expect.Equal(t, "calls under way", int(w.engine.sandboxes[1].calls.Load()), maxCalls)
		close(g.deaf)
		w.run(time.Second)
		expect.Equal(t, "calls left", int(w.engine.sandboxes[1].calls.Load()), 0)
		w.end()
	})
}
