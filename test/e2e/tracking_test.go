package e2e

import (
	"testing"

	"runsc-recover/test/harness"
)

// Where the host's kernel can't tell which pages were written, contents are
// compared: a checkpoint still holds the changed pages alone, and all of them.
// Every kernel can do so.
func TestContentsAreCompared(t *testing.T) {
	t.Parallel()
	rt := harness.New(t)
	rt.Globals = append(rt.Globals, "--recover-tracking", "contents")
	features := harness.JSON[struct {
		Annotations map[string]string `json:"annotations"`
	}](rt, "features")
	if got := features.Annotations["dev.runsc-recover.tracking"]; got != "contents" {
		t.Errorf("features says %q", got)
	}
	fidelity := rt.Start(rt.Bundle([]string{"/bin/fidelity", "-n", "3"}, "fidelity").Recover("interval", "24h"))
	fidelity.Exits(0)
	fidelity.Says("all as at the checkpoint", 1)

	c := rt.Start(rt.Bundle([]string{"/bin/behave", "hold", "50"}, "behave").Recover("interval", "24h"))
	c.Says("ready", 1)
	for rolledBack := range 2 {
		rt.Do("checkpoint", "--into-store", c.ID)
		rt.Do("checkpoint", "--into-store", c.ID)
		list := c.Checkpoints()
		if p := list[len(list)-1].Pages; p.Tracking != "contents" || p.Bytes < 50<<20 || p.Changed > 5<<20 {
			t.Errorf("%d rollbacks: %+v", rolledBack, p)
		}
		rt.Do("fail", c.ID)
		c.Recovered(rolledBack + 1)
	}
}
