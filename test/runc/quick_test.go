package runc

import (
	"testing"

	runc "github.com/containerd/go-runc"
)

// A program may be over before its start has returned, which is no error.
func TestQuickPrograms(t *testing.T) {
	t.Parallel()
	c := newClient(t, runc.JSON)
	b := c.Shell("exit 0")
	for range 10 {
		if r := c.Try("run", "--bundle", b.Dir, c.NewID()); r.Code != 0 || r.Stderr != "" {
			t.Fatalf("%v", r)
		}
		ct := c.start(b)
		if got := waitFor(t, ct.pid); got != 0 {
			t.Fatalf("ended with %d", got)
		}
		c.must(c.Runc.Delete(c.ctx, ct.id, nil))
	}
}
