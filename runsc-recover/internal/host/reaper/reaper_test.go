package reaper

import (
	"slices"
	"testing"

	"runsc-recover/test/expect"
)

func TestReaperTakesOnlyWhatNobodyElseDoes(t *testing.T) {
	var waited []int
	wait := func(pid int) { waited = append(waited, pid) }
	r := reaper{keep: func(pid int) bool { return pid == 1 }}
	expect.Equal(t, "another pass", r.pass([]int{1, 2}, wait), true)
	expect.Equal(t, "none yet", len(waited), 0)
	r.pass([]int{1, 2, 3}, wait)
	expect.Equal(t, "old zombie", slices.Equal(waited, []int{2}), true)
	r.pass([]int{1, 3}, wait)
	expect.Equal(t, "next", slices.Equal(waited, []int{2, 3}), true)
	expect.Equal(t, "nothing left", r.pass(nil, wait), false)
}
