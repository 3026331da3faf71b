package failure

import (
	"strings"
)

// Bound makes a string from the sandbox safe to keep: valid UTF-8, at most n
// bytes.
func Bound(s string, n int) string {
	return strings.ToValidUTF8(s[:min(len(s), n)], "?")
}
