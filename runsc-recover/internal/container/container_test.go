package container

import (
	"os"
	"slices"
	"testing"

	"runsc-recover/oci/statedir"
)

func TestHostPIDs(t *testing.T) {
	self, err := statedir.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	init, err := statedir.FindProcess(1)
	if err != nil {
		t.Fatal(err)
	}
	gone := init
	gone.StartTime++
	c := Container{state: &statedir.State{Status: statedir.StatusRunning, Supervisor: self}}
	c.state.Sandboxes = []statedir.Sandbox{{Processes: []statedir.Process{gone, init}}, {Processes: []statedir.Process{init}}}
	if got, want := c.HostPIDs(), []int{self.Pid, 1}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	c.state.Status = statedir.StatusStopped
	if got := c.HostPIDs(); got != nil {
		t.Errorf("stopped: %v", got)
	}
}
