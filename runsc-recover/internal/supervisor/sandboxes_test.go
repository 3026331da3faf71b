package supervisor

import (
	"testing"

	"runsc-recover/test/expect"
)

func TestSnapshotOwns(t *testing.T) {
	var none Snapshot
	expect.Equal(t, "nothing", none.owns(1), false)
}
