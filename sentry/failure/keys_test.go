package failure

import (
	"strings"
	"testing"
)

// TestDerivedKeys: the fields that abi.md names are in a derived key, and no
// others.
func TestDerivedKeys(t *testing.T) {
	long := strings.Repeat("m", keyMessage)
	base := KeyOfReport(1, []byte("boom"), "prog")
	for name, other := range map[string]uint64{
		"code":    KeyOfReport(2, []byte("boom"), "prog"),
		"message": KeyOfReport(1, []byte("bang"), "prog"),
		"program": KeyOfReport(1, []byte("boom"), "gorp"),
		"split":   KeyOfReport(1, []byte("boo"), "mprog"),
		"exit":    KeyOfExit(1, "prog"),
		"signal":  KeyOfSignal(1, "boom", 0, "prog"),
		"hang":    KeyOfHang("prog"),
	} {
		if other == base {
			t.Errorf("%s makes no difference", name)
		}
	}
	if KeyOfReport(1, []byte(long+"a"), "p") != KeyOfReport(1, []byte(long+"b"), "p") {
		t.Error("more than 64 bytes of the message count")
	}
	at := KeyOfSignal(11, "/bin/prog", 0x40, "prog")
	for name, other := range map[string]uint64{
		"signal": KeyOfSignal(6, "/bin/prog", 0x40, "prog"),
		"file":   KeyOfSignal(11, "/lib/prog", 0x40, "prog"),
		"offset": KeyOfSignal(11, "/bin/prog", 0x41, "prog"),
	} {
		if other == at {
			t.Errorf("%s makes no difference", name)
		}
	}
}
