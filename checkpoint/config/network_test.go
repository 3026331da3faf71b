package config

import (
	"testing"

	"runsc-recover/test/expect"
)

func TestNetworks(t *testing.T) {
	for _, n := range Networks() {
		expect.Equal(t, string(n), n.Valid(), true)
	}
	for _, n := range []Network{"", "Host", "bridge", "sandbox "} {
		expect.Equal(t, string(n), n.Valid(), false)
	}
}
