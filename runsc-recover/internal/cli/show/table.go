// Package show is the output of commands: tables for people, and JSON objects
// with runc's names. A view is a function of values to a writer. Text from a
// sandbox can't drive the terminal that a view is read on.
//
// It must not know where the values come from, or options.
package show

import (
	"encoding/json"
	"io"
	"text/tabwriter"
)

// JSON writes v on one line.
func JSON(w io.Writer, v any) error {
	return json.NewEncoder(w).Encode(v)
}

// IndentedJSON writes v for people.
func IndentedJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// newTable returns a writer with runc's column widths. Flush ends the table.
func newTable(w io.Writer) *tabwriter.Writer {
	return tabwriter.NewWriter(w, 12, 1, 3, ' ', 0)
}
