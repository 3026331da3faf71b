package show

import (
	"fmt"
	"io"
	"time"
)

// IDs writes the containers' ids alone.
func IDs(w io.Writer, all []State) error {
	for _, s := range all {
		if _, err := fmt.Fprintln(w, s.ID); err != nil {
			return err
		}
	}
	return nil
}

// Containers writes a line for each container.
func Containers(w io.Writer, all []State) error {
	t := newTable(w)
	fmt.Fprint(t, "ID\tPID\tSTATUS\tBUNDLE\tCREATED\tOWNER\n")
	for _, s := range all {
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%s\n", s.ID, s.Pid, s.Status, s.Bundle, s.Created.Format(time.RFC3339Nano), s.Owner)
	}
	return t.Flush()
}
