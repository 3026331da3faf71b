package main

import "testing"

func TestRebuiltIndexFindsEverybody(t *testing.T) {
	d := newDatabase()
	if missing(d) == 0 {
		t.Error("the bug does no harm: the example shows nothing")
	}
	d.rebuildIndex()
	if n := missing(d); n != 0 {
		t.Errorf("%d users can't be found in the new index", n)
	}
}

func missing(d *database) int {
	n := 0
	for i, u := range d.table {
		if !u.gone && d.byID.find(u.id) != i {
			n++
		}
	}
	return n
}
