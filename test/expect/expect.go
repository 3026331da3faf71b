// Package expect compares values with a test's expectations.
//
// It must not know any package of the program: tests of all of them use expect.
package expect

import "testing"

// Equal fails the test, but doesn't end it, when got isn't want. The name is the
// value's, for the message.
func Equal[T comparable](t testing.TB, name string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", name, got, want)
	}
}
