package failure

import (
	"testing"

	"runsc-recover/test/expect"
)

func TestExitStatus(t *testing.T) {
	for _, c := range []struct {
		name        string
		kind        Kind
		code, signo int32
		want        int
	}{
		{"an exit", Exit, 3, 0, 3},
		{"an exit whose status is wider than a byte", Exit, 0x1ff, 0, 0xff},
		{"a signal", Signal, 0, 11, 139},
		{"a report", Reported, 7, 0, 137},
		{"a signal that there isn't", Signal, 0, 4000, 137},
		{"a negative signal", Signal, 0, -1, 137},
	} {
		expect.Equal(t, c.name, ExitStatus(c.kind, c.code, c.signo), c.want)
	}
}
