package storetest

import (
	"context"
	"reflect"
	"testing"

	"runsc-recover/checkpoint"
)

func testReopen(t *testing.T, h Harness) {
	s := h.New(t, mine)
	first := publish(t, s, 3)
	publish(t, s, 4)
	stage(t, s, 5) // left over
	s = h.Reopen(t, s, mine)
	expectList(t, s, 3, 4)
	img := open(t, s, 3)
	if !reflect.DeepEqual(img.Manifest(), first) {
		t.Errorf("reopened is %+v, published was %+v", img.Manifest(), first)
	}
	expectContents(t, img, 3)
	st := stage(t, s, 4)
	defer st.Discard()
	for _, seq := range []checkpoint.Seq{2, 4} {
		if _, err := st.Publish(context.Background(), manifest(seq)); err == nil {
			t.Errorf("published %d after 4", seq)
		}
	}
	publish(t, s, 5)
	expectList(t, s, 3, 4, 5)
}

func testReopenedForAnother(t *testing.T, h Harness) {
	s := h.New(t, mine)
	publish(t, s, 1)
	for name, change := range map[string]func(*Identity){
		"gVisor version": func(id *Identity) { id.GVisorVersion = "v2" },
		"architecture":   func(id *Identity) { id.Arch = "arm64" },
		"container":      func(id *Identity) { id.ContainerID = "d" },
	} {
		id := mine
		change(&id)
		s = h.Reopen(t, s, id)
		expectError(t, "verify for another "+name, s.Verify(context.Background(), 1), checkpoint.ErrVersion)
	}
	s = h.Reopen(t, s, mine)
	expectContents(t, open(t, s, 1), 1)
}
