package main

import (
	"fmt"
	"math"
)

// goal is a figure that is to be reached. Whether it is follows from the two
// numbers alone.
type goal struct {
	What  string   `json:"what"`          // which figure of its result
	Got   *float64 `json:"got,omitempty"` // nil when there was nothing to measure
	Want  string   `json:"want"`          // "≤" or "≥"
	Bound float64  `json:"bound"`
	Met   bool     `json:"met"`
}

func atMost(title string, got, bound float64) goal {
	return goal{What: title, Got: measured(got), Want: "≤", Bound: bound, Met: got <= bound}
}

func atLeast(title string, got, bound float64) goal {
	return goal{What: title, Got: measured(got), Want: "≥", Bound: bound, Met: got >= bound}
}

func measured(v float64) *float64 {
	if math.IsNaN(v) {
		return nil
	}
	return &v
}

func (g goal) String() string {
	met := "missed"
	if g.Met {
		met = "met"
	}
	got := "unknown"
	if g.Got != nil {
		got = figure(*g.Got)
	}
	return fmt.Sprintf("%s %s %s %s: %s", g.What, got, g.Want, figure(g.Bound), met)
}
