// Command testrun runs the stages of the test suite one after the other, so
// that measured times aren't disturbed by a neighbour, and ends with one line
// that counts all tests: passed, failed, skipped. The output of a test is shown
// when the test failed, and the reason why a test was skipped always; each stage
// is followed by its time.
//
//	testrun [-fuzztime D] [STAGE...]
//
// The stage fuzz runs only when it alone is named. testrun exits with 1 when
// anything failed.
//
// It must not know the tests: the table of stages has directories and flags. It
// has no locks and starts no goroutines, but go test as a process.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

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
	all, err := listPackages(".", "{{.ImportPath}}")
	if err != nil {
		return nil, err
	}
	sum := newSummary(os.Stdout)
	if slices.Equal(names, []string{fuzzed.name}) {
		return sum, runFuzz(sum, all, fuzztime)
	}
	chosen, err := chooseStages(names)
	if err != nil {
		return nil, err
	}
	for _, s := range chosen {
		packages, err := s.choose(all)
		if err != nil {
			return nil, err
		}
		began := time.Now()
		if err := goTest(sum, slices.Concat([]string{"-count=1"}, s.flags, packages)); err != nil {
			return nil, fmt.Errorf("stage %s: %w", s.name, err)
		}
		fmt.Printf("== %s: %.0fs\n", s.name, time.Since(began).Seconds())
	}
	return sum, nil
}

// goTest feeds the results of one go test to sum. A run in which tests failed
// isn't an error, but a run that reported nothing counts as a failure.
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

// runFuzz runs every fuzz target of the packages for a while.
func runFuzz(sum *summary, all []string, d time.Duration) error {
	packages, err := fuzzed.choose(all)
	if err != nil {
		return err
	}
	for _, p := range packages {
		out, err := exec.Command("go", "test", "-list", "^Fuzz", p).Output()
		if err != nil {
			return fmt.Errorf("list fuzz targets of %s: %w", p, err)
		}
		for name := range strings.FieldsSeq(string(out)) {
			if !strings.HasPrefix(name, "Fuzz") {
				continue
			}
			fmt.Printf("== %s %s\n", p, name)
			// Making an input smaller takes a minute by default: all of the time.
			args := []string{"-run=^$", "-fuzz=^" + name + "$", "-fuzztime=" + d.String(), "-fuzzminimizetime=10x", p}
			if err := goTest(sum, args); err != nil {
				return err
			}
		}
	}
	return nil
}
