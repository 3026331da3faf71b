package schedule

import (
	"testing"

	"runsc-recover/checkpoint"
)

func TestRoomFor(t *testing.T) {
	const mib = 1 << 20
	ms := func(sizes ...int64) (out []checkpoint.Manifest) {
		for i, n := range sizes {
			out = append(out, checkpoint.Manifest{Seq: checkpoint.Seq(i + 1), Files: []checkpoint.FileInfo{{Bytes: n * mib}}})
		}
		return out
	}
	for _, c := range []struct {
		name   string
		use    Memory
		have   []checkpoint.Manifest
		pinned []checkpoint.Seq
		disk   bool
		grown  uint64
		drop   checkpoint.Seq
		ok     bool
	}{
		{"no limit", Memory{Used: 1 << 40}, ms(100), nil, false, 0, 0, true},
		{"plenty", Memory{Used: 100 * mib, Limit: 1000 * mib}, ms(50, 50), nil, false, 0, 0, true},
		{"the oldest goes", Memory{Used: 400 * mib, Limit: 512 * mib}, ms(100, 100, 100), nil, false, 0, 1, false},
		{"the pinned one stays", Memory{Used: 400 * mib, Limit: 512 * mib}, ms(100, 100, 100), []checkpoint.Seq{1}, false, 0, 2, false},
		{"the newest stays", Memory{Used: 300 * mib, Limit: 384 * mib}, ms(100), nil, false, 0, 0, false},
		{"all are pinned", Memory{Used: 300 * mib, Limit: 384 * mib}, ms(10, 100), []checkpoint.Seq{1}, false, 0, 0, false},
		{"the first one", Memory{Used: 100 * mib, Limit: 512 * mib}, nil, nil, false, 0, 0, true},
		{"the first one has no room", Memory{Used: 300 * mib, Limit: 512 * mib}, nil, nil, false, 0, 0, false},
		{"on disk none makes room", Memory{Used: 400 * mib, Limit: 512 * mib}, ms(100, 100, 100), nil, true, 0, 0, false},
		{"the program has grown", Memory{Used: 300 * mib, Limit: 512 * mib}, ms(50), nil, true, 80, 0, false},
		{"on disk there is room", Memory{Used: 300 * mib, Limit: 512 * mib}, ms(100, 100, 100), nil, true, 0, 0, true},
	} {
		pinned := make(map[checkpoint.Seq]bool)
		for _, seq := range c.pinned {
			pinned[seq] = true
		}
		drop, ok := roomFor(c.use, c.grown*mib, c.have, pinned, !c.disk)
		if ok != c.ok || drop != c.drop {
			t.Errorf("%s: got %v %v, want %v %v", c.name, drop, ok, c.drop, c.ok)
		}
	}
}
