package install

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// context is how many lines are shown around a change.
const context = 3

// WriteDiff writes the change as a unified diff of one hunk: a change of ours
// is in one place.
func (c Change) WriteDiff(w io.Writer) error {
	old, now := lines(c.Old), lines(c.New)
	same := 0
	for same < min(len(old), len(now)) && old[same] == now[same] {
		same++
	}
	tail := 0
	for tail < min(len(old), len(now))-same && old[len(old)-1-tail] == now[len(now)-1-tail] {
		tail++
	}
	first, last := max(0, same-context), min(tail, context)
	var b bytes.Buffer
	fmt.Fprintf(&b, "--- %s\n+++ %s\n", nameOf(c.Path, c.Old), nameOf(c.Path, c.New))
	fmt.Fprintf(&b, "@@ -%s +%s @@\n", span(first, len(old)-tail+last), span(first, len(now)-tail+last))
	for _, part := range []struct {
		mark  string
		lines []string
	}{
		{" ", old[first:same]},
		{"-", old[same : len(old)-tail]},
		{"+", now[same : len(now)-tail]},
		{" ", old[len(old)-tail : len(old)-tail+last]},
	} {
		for _, l := range part.lines {
			b.WriteString(part.mark + l + "\n")
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

func lines(text []byte) []string {
	if len(text) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

func nameOf(path string, text []byte) string {
	if text == nil {
		return "/dev/null"
	}
	return path
}

// span is the lines from first up to end, counted from 0, as a hunk's header
// has it: the number of the first, which for no lines is that of the one
// before, and how many.
func span(first, end int) string {
	if end > first {
		return fmt.Sprintf("%d,%d", first+1, end-first)
	}
	return fmt.Sprintf("%d,0", first)
}
