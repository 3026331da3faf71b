package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
)

// report holds the results of a run, in the order in which they were measured.
type report struct {
	Machine machine   `json:"machine"`
	Results []result  `json:"results"`
	LeftOut []leftOut `json:"left_out,omitempty"`
	Seconds float64   `json:"seconds"` // the whole run
}

// result is one thing measured.
type result struct {
	What string  `json:"what"`
	Unit string  `json:"unit,omitempty"`
	Ours summary `json:"runsc_recover"`
	// Other is the same of the runtime Beside, if it can be had there, and
	// Ratio is ours to it, by medians.
	Beside string   `json:"beside,omitempty"`
	Other  *summary `json:"other,omitempty"`
	Ratio  float64  `json:"ratio,omitempty"`
	Reach  []goal   `json:"reach,omitempty"`
}

// leftOut is a result that couldn't be measured here.
type leftOut struct {
	What   string `json:"what"`
	Reason string `json:"reason"`
	Reach  []goal `json:"reach,omitempty"`
}

// summary of a sample, with the sample.
type summary struct {
	N      int     `json:"n"`
	Median float64 `json:"median"`
	P99    float64 `json:"p99"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	Values sample  `json:"values"`
}

func summarize(s sample) summary {
	return summary{N: len(s), Median: s.median(), P99: s.quantile(0.99), Min: slices.Min(s), Max: slices.Max(s), Values: s}
}

// compare adds a result that another runtime has, too. The samples aren't
// empty.
func (r *report) compare(title, unit string, ours sample, beside string, other sample, reach ...goal) {
	o, p := summarize(ours), summarize(other)
	r.Results = append(r.Results, result{
		What: title, Unit: unit, Ours: o, Beside: beside, Other: &p, Ratio: o.Median / p.Median, Reach: reach,
	})
}

// ours adds a result that no other runtime has.
func (r *report) ours(title, unit string, s sample, reach ...goal) {
	r.Results = append(r.Results, result{What: title, Unit: unit, Ours: summarize(s), Reach: reach})
}

// leaveOut says why a result isn't measured, and names its goals.
func (r *report) leaveOut(title, reason string, reach ...goal) {
	r.LeftOut = append(r.LeftOut, leftOut{title, reason, reach})
}

// write prints the table, and writes JSON to file unless it is empty; to
// standard output, instead of the table, when it is "-".
func (r *report) write(file string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	text = append(text, '\n')
	if file == "-" {
		_, err := os.Stdout.Write(text)
		return err
	}
	if file != "" {
		if err := os.WriteFile(file, text, 0o644); err != nil {
			return err
		}
	}
	return r.table(os.Stdout)
}

// table prints the report for people.
func (r *report) table(out io.Writer) error {
	m := r.Machine
	fmt.Fprintf(out, "%s, %d CPUs, %s, kernel %s\n", m.CPU, m.CPUs, m.Memory, m.Kernel)
	for _, name := range slices.Sorted(maps.Keys(m.Versions)) {
		fmt.Fprintf(out, "%s: %s\n", name, m.Versions[name])
	}
	fmt.Fprintf(out, "%s, load before the run %s, %.0f s\n\n", m.Time.Format("2006-01-02 15:04 MST"), m.Load, r.Seconds)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\trunsc-recover\t\t\t\tbeside it\t\t\t\t")
	fmt.Fprintln(t, "\tmedian\tp99\tn\tunit\t\tmedian\tn\tratio\treach")
	for _, e := range r.Results {
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%s\t%s\n",
			e.What, figure(e.Ours.Median), e.Ours.p99(), e.Ours.N, e.Unit, e.otherColumns(), reachText(e.Reach))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, l := range r.LeftOut {
		fmt.Fprintf(out, "left out: %s: %s  %s\n", l.What, l.Reason, reachText(l.Reach))
	}
	return nil
}

func (e result) otherColumns() string {
	if e.Other == nil {
		return "\t\t\t"
	}
	return fmt.Sprintf("%s\t%s\t%d\t%.2f", e.Beside, figure(e.Other.Median), e.Other.N, e.Ratio)
}

func reachText(reach []goal) string {
	var goals []string
	for _, g := range reach {
		goals = append(goals, g.String())
	}
	return strings.Join(goals, "; ")
}

// p99 is worth a column from a number of measurements on.
func (s summary) p99() string {
	if s.N < 10 {
		return ""
	}
	return figure(s.P99)
}

// figure shows three or four digits, which is all that a measurement is good
// for.
func figure(v float64) string {
	switch {
	case v == float64(int64(v)) || v >= 1000:
		return fmt.Sprintf("%.0f", v)
	case v >= 100:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
