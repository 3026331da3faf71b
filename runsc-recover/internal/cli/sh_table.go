package cli

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
