package oomscore

import (
	"os"
	"path/filepath"
	"testing"

	"runsc-recover/test/expect"
)

func TestShield(t *testing.T) {
	file := filepath.Join(t.TempDir(), "score")
	if err := os.WriteFile(file, []byte("7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	read := func() string {
		b, _ := os.ReadFile(file)
		return string(b)
	}
	s := Raise(file)
	expect.Equal(t, "raised", read(), "-999")
	s.Expose(func() {
		s.Expose(func() { expect.Equal(t, "exposed twice", read(), "7") })
		expect.Equal(t, "exposed", read(), "7")
	})
	expect.Equal(t, "raised again", read(), "-999")
	var none *Shield
	ran := false
	none.Expose(func() { ran = true })
	expect.Equal(t, "without a shield", ran, true)
}
