package engine

import (
	"testing"

	"runsc-recover/test/expect"
)

func TestSnapshotOwns(t *testing.T) {
	var none Snapshot
	expect.Equal(t, "nothing", none.Owns(1), false)
}
