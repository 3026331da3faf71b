// Command testrun runs the stages of the test suite one after the other, so
// that measured times aren't disturbed by a neighbour, and ends with one line
// that counts them all: passed, failed, skipped. What a test printed is shown
// when it failed; why one was skipped is always shown.
//
//	testrun [-fuzztime D] [STAGE...]
//
// It exits with 1 when anything failed.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// stage is one run of go test. Packages are given as patterns; those that
// begin with "-" are taken away again.
type stage struct {
	name     string
	packages []string
	flags    []string
}

// stages in the order in which they run.
var stages = []stage{
	{"unit", []string{"./...", "-test/", "-tools/rules"}, []string{"-timeout=10m"}},
	{"race", []string{"./checkpoint/...", "./oci/...", "./runsc-recover/internal/api/...", "./runsc-recover/internal/engine/...", "./runsc-recover/internal/supervisor/...", "./sentry/wire/..."},
		[]string{"-race", "-timeout=10m"}},
	{"e2e", []string{"./test/e2e/..."}, []string{"-timeout=15m"}},
	{"runc", []string{"./test/runc/..."}, []string{"-timeout=5m"}},
	{"engines", []string{"./test/engines/..."}, []string{"-timeout=15m"}},
	{"crash", []string{"./test/crash/..."}, []string{"-timeout=10m"}},
	{"soak", []string{"./test/soak/..."}, []string{"-timeout=10m"}},
}

func main() {
	fuzztime := flag.Duration("fuzztime", 20*time.Second, "how long each fuzz target runs in the stage fuzz")
	flag.Parse()
	sum, err := run(flag.Args(), *fuzztime)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testrun:", err)
		os.Exit(1)
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", sum.passed, sum.failed, sum.skipped)
	if sum.failed > 0 {
		os.Exit(1)
	}
}

// run runs the named stages, all of them when none is named.
func run(names []string, fuzztime time.Duration) (*summary, error) {
	if slices.Equal(names, []string{"fuzz"}) {
		return runFuzz(fuzztime)
	}
	sum := newSummary(os.Stdout)
	for _, s := range stages {
		if len(names) > 0 && !slices.Contains(names, s.name) {
			continue
		}
		pkgs, err := expand(s.packages)
		if err != nil {
			return nil, err
		}
		began := time.Now()
		if err := goTest(sum, append(append([]string{"-count=1"}, s.flags...), pkgs...)); err != nil {
			return nil, fmt.Errorf("stage %s: %w", s.name, err)
		}
		fmt.Printf("== %s: %.0fs\n", s.name, time.Since(began).Seconds())
	}
	return sum, nil
}

// expand lists the packages of the patterns.
func expand(patterns []string) ([]string, error) {
	var with, without []string
	for _, p := range patterns {
		if rest, ok := strings.CutPrefix(p, "-"); ok {
			without = append(without, "runsc-recover/"+rest)
		} else {
			with = append(with, p)
		}
	}
	out, err := exec.Command("go", append([]string{"list"}, with...)...).Output()
	if err != nil {
		return nil, fmt.Errorf("list packages: %w", err)
	}
	return slices.DeleteFunc(strings.Fields(string(out)), func(p string) bool {
		return slices.ContainsFunc(without, func(w string) bool { return strings.HasPrefix(p+"/", w) })
	}), nil
}

// goTest feeds the results of one `go test` to sum. A run in which tests
// failed isn't an error; one that reported nothing is.
func goTest(sum *summary, args []string) error {
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	before := sum.failed
	readErr := sum.read(out)
	if err := cmd.Wait(); err != nil && sum.failed == before {
		sum.failed++
		fmt.Printf("FAIL go test: %v\n", err)
	}
	return readErr
}

// runFuzz runs every fuzz target of the module for a while.
func runFuzz(d time.Duration) (*summary, error) {
	pkgs, err := expand([]string{"./...", "-test/", "-tools/"})
	if err != nil {
		return nil, err
	}
	sum := newSummary(os.Stdout)
	for _, p := range pkgs {
		out, err := exec.Command("go", "test", "-list", "^Fuzz", p).Output()
		if err != nil {
			return nil, fmt.Errorf("list fuzz targets of %s: %w", p, err)
		}
		for name := range strings.FieldsSeq(string(out)) {
			if !strings.HasPrefix(name, "Fuzz") {
				continue
			}
			fmt.Printf("== %s %s\n", p, name)
			// Making an input smaller takes a minute by default: all of the time.
			args := []string{"-run=^$", "-fuzz=^" + name + "$", "-fuzztime=" + d.String(), "-fuzzminimizetime=10x", p}
			if err := goTest(sum, args); err != nil {
				return nil, err
			}
		}
	}
	return sum, nil
}

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

// addPackage counts a package only when it failed without a failing test, as
// one that doesn't build or that panics does.
func (s *summary) addPackage(e event, output []string) {
	if e.Action == "fail" && !s.failing[e.Package] {
		s.failed++
		fmt.Fprint(s.out, strings.Join(output, ""))
	}
	if e.Action != "skip" {
		fmt.Fprintf(s.out, "%-4s %s %.1fs\n", e.Action, e.Package, e.Elapsed)
	}
}
