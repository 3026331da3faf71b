package procusage

import (
	"os"
	"testing"
	"time"

	"runsc-recover/test/expect"
)

// gone is no process's pid.
const gone = 1 << 30

func TestUseOfThisProcess(t *testing.T) {
	self := os.Getpid()
	for end := time.Now().Add(5 * time.Second); ProcessorTime([]int{self}) == 0 && time.Now().Before(end); {
	}
	memory := ResidentMemory([]int{self})
	if memory == 0 || memory > HostMemory() {
		t.Errorf("%d of %d bytes are resident", memory, HostMemory())
	}
	if ProcessorTime([]int{self}) == 0 {
		t.Error("no processor time")
	}
	if with := ResidentMemory([]int{gone, self}); with == 0 {
		t.Error("a process that is gone hides the other")
	}
}

func TestUseOfNoProcess(t *testing.T) {
	expect.Equal(t, "memory", ResidentMemory([]int{gone, -1, 0}), 0)
	expect.Equal(t, "time", ProcessorTime([]int{gone, -1, 0}), 0)
	expect.Equal(t, "none", ResidentMemory(nil), 0)
}
