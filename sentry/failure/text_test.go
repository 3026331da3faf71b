package failure

import (
	"testing"

	"runsc-recover/test/expect"
)

func TestBound(t *testing.T) {
	for _, c := range []struct {
		in   string
		n    int
		want string
	}{
		{"abc", 10, "abc"},
		{"abcdef", 3, "abc"},
		{"añ", 2, "a?"},
		{"\xff\xfeok", 10, "?ok"},
		{"", 0, ""},
	} {
		got := Bound(c.in, c.n)
		expect.Equal(t, c.in, got, c.want)
		if len(got) > c.n {
			t.Errorf("%q is longer than %d", got, c.n)
		}
	}
}
