package container

import (
	"testing"
)

func TestCheckConsole(t *testing.T) {
	for _, c := range []struct {
		terminal, detach bool
		socket           string
		ok               bool
	}{
		{true, true, "/s", true},
		{true, true, "", false},
		{true, false, "", true},
		{true, false, "/s", true},
		{false, true, "", true},
		{false, true, "/s", false},
		{false, false, "/s", false},
	} {
		if err := CheckConsole(c.terminal, c.detach, c.socket); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
