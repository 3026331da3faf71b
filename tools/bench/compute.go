package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// loop is a program that computes for a while each time that it is told to.
type loop struct {
	title string
	args  func(size) []string
	host  bool // the host's programs are needed
}

var (
	loopC = loop{title: fmt.Sprintf("compute loop in C, %d MiB all changed by each pass", workingSet),
		args: func(s size) []string {
			return []string{"/guests/bench", "compute", strconv.Itoa(s.passes), strconv.Itoa(workingSet)}
		}}
	loopPython = loop{title: "compute loop in Python, 100000 numbers in a list and a dictionary", host: true,
		args: func(s size) []string {
			return []string{"/usr/bin/python3", "/guests/python/compute.py", strconv.Itoa(s.pythonPasses)}
		}}
)

const workingSet = 16 // MiB

func measureCompute(l loop) func(context.Context, *bench) error {
	return func(ctx context.Context, b *bench) error {
		if l.host && b.needs(l.title, l.args(b.size)[0]) {
			return nil
		}
		plain, protected, off := b.ways()
		load := workload{
			program: func(_ int, w *way) program {
				return program{args: l.args(b.size), recover: w.recover, host: l.host}
			},
			started: func(ctx context.Context, _ int, c *container) error {
				_, err := c.waitForLine(ctx, "ready")
				return err
			},
			measure: func(ctx context.Context, _ int, w *way, c *container) error { return c.compute(ctx, w) },
		}
		if err := b.inTurns(ctx, load, protected, plain, off); err != nil {
			return err
		}
		for _, w := range []*way{protected, off} {
			ours, theirs := w.results["time"], plain.results["time"]
			var goals []goal
			if w == protected {
				goals = append(goals, atLeast("as fast as runsc", theirs.median()/ours.median(), protectedShare))
			}
			b.report.compare(l.title+", "+w.title, "s", ours, plain.runtime.name, theirs, goals...)
		}
		return nil
	}
}

// compute has the program compute once.
func (c *container) compute(ctx context.Context, w *way) error {
	const word = "took "
	output, err := c.waitFor(ctx, "its output", func(string) bool { return true })
	if err != nil {
		return err
	}
	before := strings.Count(output, word)
	if err := c.do(ctx, "kill", strconv.Itoa(int(unix.SIGUSR1))); err != nil {
		return err
	}
	output, err = c.waitFor(ctx, "the loop's end", func(output string) bool { return strings.Count(output, word) > before })
	if err != nil {
		return err
	}
	var took time.Duration
	last := output[strings.LastIndex(output, word):]
	if _, err := fmt.Sscanf(last, word+"%d", &took); err != nil {
		return fmt.Errorf("read %q: %w", last, err)
	}
	w.results["time"] = append(w.results["time"], took.Seconds())
	return nil
}
