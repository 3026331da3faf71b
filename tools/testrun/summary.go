package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// event is a line of `go test -json`.
type event struct {
	Action, Package, Test, Output string
	ImportPath                    string
	Elapsed                       float64
}

// summary counts results and prints those that matter.
type summary struct {
	out                     io.Writer
	passed, failed, skipped int
	output                  map[string][]string // of tests not yet over
	failing                 map[string]bool     // packages with a failed test
}

func newSummary(out io.Writer) *summary {
	return &summary{out: out, output: map[string][]string{}, failing: map[string]bool{}}
}

func (s *summary) read(r io.Reader) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		var e event
		if len(line) > 0 && json.Unmarshal(line, &e) == nil {
			s.add(e)
		} else if len(line) > 0 {
			fmt.Fprintf(s.out, "%s", line)
		}
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func (s *summary) add(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "output":
		s.output[key] = append(s.output[key], e.Output)
		return
	case "build-output":
		fmt.Fprint(s.out, e.Output)
		return
	case "pass", "fail", "skip":
	default:
		return
	}
	if e.Test == "" {
		s.addPackage(e, s.output[key])
	} else {
		s.addTest(e, s.output[key])
	}
	delete(s.output, key)
}

func (s *summary) addTest(e event, output []string) {
	switch e.Action {
	case "pass":
		s.passed++
	case "skip":
		s.skipped++
		fmt.Fprintf(s.out, "SKIP %s %s\n%s", e.Package, e.Test, strings.Join(output, ""))
	case "fail":
		s.failed++
		s.failing[e.Package] = true
		fmt.Fprintf(s.out, "FAIL %s %s (%.1fs)\n%s", e.Package, e.Test, e.Elapsed, strings.Join(output, ""))
	}
}

// addPackage counts a package only when it failed without a failing test, as a
// package does that doesn't build or that panics.
func (s *summary) addPackage(e event, output []string) {
	if e.Action == "fail" && !s.failing[e.Package] {
		s.failed++
		fmt.Fprint(s.out, strings.Join(output, ""))
	}
	if e.Action != "skip" {
		fmt.Fprintf(s.out, "%-4s %s %.1fs\n", e.Action, e.Package, e.Elapsed)
	}
}
