package trace

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// Show writes turns for people: each event with the time since the first one, its
// actions below it.
func Show(w io.Writer, turns []Turn) error {
	began := turns[0].At
	for _, t := range turns {
		if _, err := fmt.Fprintf(w, "%11.6f  %s\n", t.At.Sub(began).Seconds(), Line(t.Event, began)); err != nil {
			return err
		}
		for _, a := range t.Actions {
			if _, err := fmt.Fprintf(w, "%13s%s\n", "  ", Line(a, began)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Line is an event or an action on one line: its type, and the fields that aren't
// zero, in the order of their names. A dot parts the fields of a field; fields
// named *_ns are durations, and moments are told from began.
func Line(object json.RawMessage, began time.Time) string {
	var fields map[string]any
	d := json.NewDecoder(bytes.NewReader(object))
	d.UseNumber() // keys of failures need all of their 64 bits
	if err := d.Decode(&fields); err != nil {
		return fmt.Sprintf("unreadable: %v", err)
	}
	name := fmt.Sprint(fields["type"])
	delete(fields, "type")
	line := name + strings.Join(flatten("", fields, began), "")
	return strings.ReplaceAll(line, "\n", "; ")
}

func flatten(prefix string, fields map[string]any, began time.Time) (out []string) {
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		out = append(out, field(prefix, key, fields[key], began)...)
	}
	return out
}

func field(prefix, key string, value any, began time.Time) []string {
	name := prefix + key
	switch v := value.(type) {
	case map[string]any:
		if text, ok := v["text"]; ok && key == "err" {
			return []string{fmt.Sprintf(" %s=%q", name, text)}
		}
		return flatten(name+".", v, began)
	case json.Number:
		if short, ok := strings.CutSuffix(name, "_ns"); ok {
			n, _ := v.Int64()
			return []string{fmt.Sprintf(" %s=%v", short, time.Duration(n))}
		}
		if v != "0" {
			return []string{fmt.Sprintf(" %s=%v", name, v)}
		}
	case string:
		at, err := time.Parse(time.RFC3339Nano, v)
		switch {
		case err == nil && at.Year() > 1:
			return []string{fmt.Sprintf(" %s=+%v", name, at.Sub(began))}
		case err != nil && v != "":
			return []string{fmt.Sprintf(" %s=%q", name, v)}
		}
	case bool:
		if v {
			return []string{" " + name}
		}
	case []any:
		return []string{fmt.Sprintf(" %s=%v", name, v)}
	}
	return nil
}
