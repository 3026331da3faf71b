package recovery

import (
	"testing"
	"unsafe"
)

func TestLayout(t *testing.T) {
	for _, c := range []struct {
		name      string
		got, want uintptr
	}{
		{"attach", unsafe.Sizeof(attachArg{}), 16},
		{"failure", unsafe.Sizeof(failureArg{}), 48},
		{"failure.data_len", unsafe.Offsetof(failureArg{}.dataLen), 40},
		{"info", unsafe.Sizeof(infoArg{}), 320},
		{"info.fault_addr", unsafe.Offsetof(infoArg{}.faultAddr), 32},
		{"info.failure_time_ns", unsafe.Offsetof(infoArg{}.failureTimeNS), 72},
		{"info.message_len", unsafe.Offsetof(infoArg{}.messageLen), 88},
		{"info.message", unsafe.Offsetof(infoArg{}.message), 96},
		{"buffer", unsafe.Sizeof(bufferArg{}), 32},
		{"heartbeat", unsafe.Sizeof(heartbeatArg{}), 16},
	} {
		if c.got != c.want {
			t.Errorf("%s is %d, want %d", c.name, c.got, c.want)
		}
	}
}
