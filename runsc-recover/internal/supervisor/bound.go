package supervisor

import (
	"strings"
)

// bound makes a string from the sandbox safe to keep: valid UTF-8, at most n
// bytes.
func bound(s string, n int) string {
	return strings.ToValidUTF8(s[:min(len(s), n)], "?")
}
