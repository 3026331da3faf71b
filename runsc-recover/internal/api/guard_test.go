package api

import (
	"context"
	"io"
	"testing"
	"time"
)

// executioner is a Service that names the processes it was asked to kill.
type executioner struct {
	fake
	killed chan ExecProcess
}

func (e *executioner) KillExec(_ context.Context, p ExecProcess) error {
	e.killed <- p
	return nil
}

func TestGuardKillsWhatIsLeft(t *testing.T) {
	s := &executioner{killed: make(chan ExecProcess, 2)}
	c, _ := serve(t, s)
	left, ended := ExecProcess{Generation: 3, PID: 12}, ExecProcess{Generation: 3, PID: 13}

	g, err := c.Guard(ended)
	if err != nil {
		t.Fatal(err)
	}
	g.Ended() // returns when the supervisor knows

	if g, err = c.Guard(left); err != nil {
		t.Fatal(err)
	}
	// As the death of this process would.
	g.body.CloseWithError(io.ErrUnexpectedEOF)
	g.resp.Body.Close()
	select {
	case p := <-s.killed:
		if p != left {
			t.Errorf("killed %+v, want %+v", p, left)
		}
	case <-time.After(10 * time.Second):
		t.Error("nothing was killed")
	}
	if len(s.killed) > 0 {
		t.Errorf("killed %+v, too", <-s.killed)
	}
}

func TestGuardWithoutSupervisor(t *testing.T) {
	if _, err := NewClient(t.TempDir() + "/none").Guard(ExecProcess{}); err == nil {
		t.Error("no error")
	}
}
