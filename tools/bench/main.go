// Command bench measures runsc-recover beside plain runsc of the same gVisor,
// in one run on one machine, with the same guests and bundles: the cost of a
// checkpoint for the program and the store, the time from a failing call to the
// handler in the copy, and the cost of protection for a program that never fails.
// Each figure stands beside its goal.
//
//	bench -recover FILE -runsc FILE -guests DIR [-json FILE] [-dir DIR] [-quick] [-only WORD[,WORD...]]
//
// Runtimes take turns (A B A B), so that a machine that grows slower is slow
// for both, and the first figures of each turn are not counted. It exits with 1
// only when a figure can't be measured, not when a goal is missed.
//
// It must not know the project's packages: its figures are a caller's.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// options of a run.
type options struct {
	recover, runsc, guests string
	json                   string
	dir                    string
	quick                  bool
	only                   string
}

func main() {
	var o options
	flag.StringVar(&o.recover, "recover", "bin/runsc-recover", "runsc-recover to measure")
	flag.StringVar(&o.runsc, "runsc", "build/runsc", "plain runsc to compare with")
	flag.StringVar(&o.guests, "guests", "build/guest", "directory of the guest programs")
	flag.StringVar(&o.json, "json", "", "file to write the results to as well, as JSON; - for standard output instead of the table")
	flag.StringVar(&o.dir, "dir", "/dev/shm", "directory on a tmpfs for bundles and images")
	flag.BoolVar(&o.quick, "quick", false, "measure little, to see that all of it works")
	flag.StringVar(&o.only, "only", "", "measure only those whose names have one of these words, with commas between; -only ? lists the names")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// A measurement adds its results to the report.
type measurement struct {
	name string
	run  func(context.Context, *bench) error
}

// Programs of which the checkpoints are measured.
var (
	small  = memory{resident: smallMiB}
	medium = memory{resident: 256, changed: 16}
	large  = memory{resident: largeMiB, changed: 10}
)

// Resident memory of the guests, in MiB.
const (
	smallMiB = 1
	largeMiB = 1024
)

// measurements in their order. The goals stand here and nowhere else, but for the
// shares that are the same wherever they are measured.
func measurements() []measurement {
	often, seldom := func(s size) int { return s.perTurn }, func(s size) int { return s.perTurnLarge }
	return []measurement{
		{"pause with 1 MiB", measurePause(small, often, func(_ *bench, ours, plain float64) []goal {
			return []goal{atMost("of runsc's", ours/plain, 0.7)}
		})},
		{"pause with 256 MiB", measurePause(medium, often, func(*bench, float64, float64) []goal { return nil })},
		{"pause with 1 GiB", measurePause(large, seldom, func(b *bench, ours, plain float64) []goal {
			goals := []goal{atLeast("times shorter than runsc's", plain/ours, 100)}
			if s := b.seen[small]; len(s) > 0 {
				goals = append(goals, atMost("times that with 1 MiB", ours/s.median(), 1.5))
			}
			return goals
		})},
		{"pause by CRIU", measureCRIU},
		{"rollback with 1 MiB", measureStandby(smallMiB, 45*time.Second,
			asked{kind: "hot", p50: 5, p99: 20}, asked{kind: "warm", p50: 100}, asked{kind: "cold"}, asked{kind: "auto"})},
		{"rollback with 1 GiB, hot", measureStandby(largeMiB, 100*time.Second, asked{kind: "hot", p50: 5, p99: 20})},
		{"rollback with 1 GiB, others", measureStandby(largeMiB, 25*time.Second,
			asked{kind: "warm", p50: 200}, asked{kind: "cold"}, asked{kind: "auto"})},
		{"rollbacks in a row", measureRow},
		{"redis-benchmark with 20 clients", measureRedis(20)},
		{"redis-benchmark with 50 clients", measureRedis(50)},
		{"compute loop in C", measureCompute(loopC)},
		{"compute loop in Python", measureCompute(loopPython)},
	}
}

// bench is a run: its runtimes, its size and its report, for all measurements.
type bench struct {
	ours, plain runtime
	size        size
	report      report
	began       time.Time
	// seen are our pauses that were measured, by the program.
	seen map[memory]sample
}

// progress tells the caller, who waits, how far the run has come.
func (b *bench) progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%4.0fs    %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, args...))
}

// needs leaves a result out, and says so, when a program isn't installed.
func (b *bench) needs(title string, programs ...string) (missing bool) {
	for _, name := range programs {
		if _, err := exec.LookPath(name); err != nil {
			b.report.leaveOut(title, name+" is not installed")
			return true
		}
	}
	return false
}

func run(ctx context.Context, o options) (err error) {
	if os.Geteuid() != 0 {
		return fmt.Errorf("sandboxes need root")
	}
	chosen, err := choose(o.only)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(o.dir, "rrb-")
	if err != nil {
		return fmt.Errorf("make a directory to work in: %w", err)
	}
	defer func() { err = errors.Join(err, removeAll(dir)) }()
	b, err := newBench(ctx, o, dir)
	if err != nil {
		return err
	}
	for _, m := range chosen {
		fmt.Fprintf(os.Stderr, "%4.0fs  %s\n", time.Since(b.began).Seconds(), m.name)
		if err := m.run(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	b.report.Seconds = time.Since(b.began).Seconds()
	return b.report.write(o.json)
}

// choose returns the measurements that have the word in their names.
func choose(words string) ([]measurement, error) {
	var chosen []measurement
	var names []string
	for _, m := range measurements() {
		names = append(names, m.name)
		if slices.ContainsFunc(strings.Split(words, ","), func(word string) bool { return strings.Contains(m.name, word) }) {
			chosen = append(chosen, m)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("nothing has %q in its name; there are:\n  %s", words, strings.Join(names, "\n  "))
	}
	return chosen, nil
}

// removeAll removes a directory in which runtimes had their roots.
func removeAll(dir string) error {
	// gVisor keeps an empty network namespace mounted in its root.
	mounts, err := filepath.Glob(filepath.Join(dir, "*", "root", "null-netns"))
	for _, m := range mounts {
		err = errors.Join(err, unix.Unmount(m, unix.MNT_DETACH))
	}
	return errors.Join(err, os.RemoveAll(dir))
}

func newBench(ctx context.Context, o options, dir string) (*bench, error) {
	b := &bench{size: fullSize, began: time.Now(), seen: map[memory]sample{}}
	if o.quick {
		b.size = quickSize
	}
	paths := [...]*string{&o.recover, &o.runsc, &o.guests}
	for _, p := range paths {
		abs, err := filepath.Abs(*p)
		if err != nil {
			return nil, err
		}
		if _, err := os.Stat(abs); err != nil {
			return nil, fmt.Errorf("%w: run make bench", err)
		}
		*p = abs
	}
	b.ours = runtime{name: "runsc-recover", binary: o.recover, dir: filepath.Join(dir, "a"), guests: o.guests}
	b.plain = runtime{name: "runsc", binary: o.runsc, dir: filepath.Join(dir, "b"), guests: o.guests}
	for _, r := range []runtime{b.ours, b.plain} {
		if err := os.Mkdir(r.dir, 0o700); err != nil {
			return nil, err
		}
	}
	var err error
	b.report.Machine, err = describeMachine(ctx, b.ours, b.plain)
	return b, err
}

// size says how much is measured.
type size struct {
	turns        int // of checkpoints
	perTurn      int // checkpoints a turn
	perTurnLarge int // the same where each takes seconds
	failures     int // with a kind of standby, at most
	rollbacks    int // in a row
	rounds       int // of throughput
	requests     int // a round of redis-benchmark
	passes       int // a round of the compute loop in C
	pythonPasses int // and of that in Python
}

var (
	fullSize = size{turns: 2, perTurn: 10, perTurnLarge: 3, failures: 20, rollbacks: 100,
		rounds: 20, requests: 10000, passes: 700, pythonPasses: 40}
	quickSize = size{turns: 1, perTurn: 3, perTurnLarge: 1, failures: 2, rollbacks: 5,
		rounds: 1, requests: 2000, passes: 200, pythonPasses: 1}
)
