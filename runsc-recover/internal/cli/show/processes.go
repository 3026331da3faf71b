package show

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"

	"runsc-recover/runsc-recover/internal/api"
)

// Processes prints the columns of ps -ef.
func Processes(w io.Writer, ps []api.Process) error {
	b := new(bytes.Buffer)
	fmt.Fprintf(b, "%-8s %7s %7s  C %5s %-8s %8s CMD\n", "UID", "PID", "PPID", "STIME", "TTY", "TIME")
	for _, pr := range ps {
		fmt.Fprintf(b, "%-8s %7d %7d  0 %5s %-8s %8s %s\n", userName(pr.UID), pr.PID, pr.PPID, column(pr.STime), column(pr.TTY), column(pr.Time), column(pr.Cmd))
	}
	_, err := w.Write(b.Bytes())
	return err
}

// column is a field as a column, which is never empty.
func column(s string) string {
	if s == "" {
		return "?"
	}
	return Printable(s)
}

// Printable escapes the characters of a sandbox's text that would drive the
// terminal.
func Printable(s string) string {
	q := strconv.Quote(s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}
