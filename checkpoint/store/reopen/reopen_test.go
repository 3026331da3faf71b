package reopen

import (
	"errors"
	"os"
	"testing"

	"runsc-recover/checkpoint"
	"runsc-recover/test/expect"
)

func TestReopeningStoreTriesAgain(t *testing.T) {
	w := &closedStore{}
	tries := 0
	s := New(func() (checkpoint.Store, error) {
		if tries++; tries < 3 {
			return nil, os.ErrPermission
		}
		return w, nil
	})
	for range 2 {
		if _, err := s.get(); !errors.Is(err, os.ErrPermission) {
			t.Errorf("closed place: %v", err)
		}
	}
	got, err := s.get()
	expect.Equal(t, "error", err, nil)
	expect.Equal(t, "store", got, checkpoint.Store(w))
	s.get()
	expect.Equal(t, "opened once", tries, 3)
}

// closedStore is a store of which nothing is asked.
type closedStore struct{ checkpoint.Store }
