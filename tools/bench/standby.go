package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// standbyTimeout is how long a standby of the kind asked for may take to be
// there.
const standbyTimeout = time.Minute

// asked is a kind of standby to measure failures with.
type asked struct {
	kind string
	// p50 and p99 are to be reached, in milliseconds; 0 for any.
	p50, p99 float64
}

// goals compares the latency with the goals; an empty sample reaches none.
func (k asked) goals(latency sample) []goal {
	var goals []goal
	if k.p50 > 0 {
		goals = append(goals, atMost("p50", latency.median(), k.p50))
	}
	if k.p99 > 0 {
		goals = append(goals, atMost("p99", latency.quantile(0.99), k.p99))
	}
	return goals
}

// measureStandby measures failures of a program that has waited for them a
// while, so that its standby is as asked for: as often as there is time for
// within the limit, for each kind of standby.
func measureStandby(mib int, limit time.Duration, kinds ...asked) func(context.Context, *bench) error {
	return func(ctx context.Context, b *bench) error {
		var rss sample
		for _, k := range kinds {
			b.progress("standby %s", k.kind)
			f, err := b.ours.failures(ctx, k, mib, b.size.failures, time.Now().Add(limit))
			title := fmt.Sprintf("failing call to handler, %d MiB resident, standby %s", mib, k.kind)
			if errors.Is(err, errNoStandby) {
				b.report.leaveOut(title, err.Error(), k.goals(nil)...)
				continue
			}
			if err != nil {
				return fmt.Errorf("%s: %w", title, err)
			}
			b.report.ours(fmt.Sprintf("%s (%s)", title, f.usedText()), "ms", f.latency, k.goals(f.latency)...)
			rss = append(rss, f.rss...)
		}
		if len(rss) > 0 {
			b.report.ours(fmt.Sprintf("resident memory of the supervisor, rolling back %d MiB", mib), "MiB", rss, rssGoal(rss))
		}
		return nil
	}
}

// failures are failures of one container.
type failures struct {
	latency sample         // from the failing call to the handler, ms
	used    map[string]int // by the kind of standby that the copy was made of
	rss     sample         // of the supervisor, MiB
}

// usedText names the kinds of standby that the copies were made of.
func (f failures) usedText() string {
	var kinds []string
	for _, k := range slices.Sorted(maps.Keys(f.used)) {
		kinds = append(kinds, fmt.Sprintf("%d %s", f.used[k], k))
	}
	return strings.Join(kinds, ", ")
}

// errNoStandby says that a standby of the kind asked for isn't to be had.
var errNoStandby = errors.New("there is no such standby")

// interval is the default one.
const interval = time.Second

// options of a program that fails: by default those of every container. For
// a kind of standby, the costs and the lag of checkpoints and standbys are
// unbounded, so that it is of that kind even where that is hard to pay for.
func (k asked) options() map[string]string {
	o := map[string]string{"standby": k.kind, "max-rate": "100000"}
	if k.kind != "auto" {
		o["standby-memory"], o["standby-lag"], o["max-overhead"] = "8GiB", "10s", "100%"
	}
	return o
}

// failures lets a program fail n times, or once and until the time is up.
// Errors: errNoStandby.
func (r runtime) failures(ctx context.Context, k asked, mib, n int, until time.Time) (_ failures, err error) {
	f := failures{used: map[string]int{}}
	c, err := r.start(ctx, guest(k.options(), "fail", strconv.Itoa(mib)))
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, c.end()) }()
	if _, err := c.waitForLine(ctx, "ready"); err != nil {
		return f, err
	}
	ready := time.Now()
	for i := 0; i < n && (i == 0 || time.Now().Before(until)); i++ {
		if err := c.waitForStandby(ctx, k.kind, ready); err != nil {
			return f, err
		}
		// At every part of the time between two checkpoints.
		time.Sleep(interval * time.Duration(i) / time.Duration(n))
		if err := c.do(ctx, "kill", strconv.Itoa(int(unix.SIGUSR1))); err != nil {
			return f, err
		}
		if f.latency, err = c.waitForHandler(ctx, len(f.latency)); err != nil {
			return f, err
		}
		rss, err := c.residentMiB(ctx)
		if err != nil {
			return f, err
		}
		f.rss = append(f.rss, rss)
	}
	f.used, err = c.standbysUsed(ctx)
	return f, err
}

// waitForHandler waits until the handler has run more often, and returns how
// long it took each time. It can be twice for one signal: a checkpoint that was
// taken between that and the failing call fails again.
func (c *container) waitForHandler(ctx context.Context, before int) (sample, error) {
	var latency sample
	var parseErr error
	_, err := c.waitFor(ctx, "its handler", func(output string) bool {
		latency, parseErr = parseHandlers(output)
		return parseErr != nil || len(latency) > before
	})
	return latency, errors.Join(err, parseErr)
}

// waitForStandby waits for a checkpoint that was taken after the given time,
// and for the standby asked for. Errors: errNoStandby.
func (c *container) waitForStandby(ctx context.Context, kind string, after time.Time) error {
	deadline := time.Now().Add(standbyTimeout)
	for {
		list, err := c.runtime.command(ctx, "checkpoints", "list", "--format", "json", c.id)
		if err != nil {
			return err
		}
		var all []manifest
		if err := json.Unmarshal(list, &all); err != nil {
			return fmt.Errorf("read checkpoints: %w", err)
		}
		s, err := c.state(ctx)
		if err != nil {
			return err
		}
		first := slices.IndexFunc(all, func(m manifest) bool { return m.TakenAt.After(after) })
		if first >= 0 && s.Standby.is(kind) && (s.Standby.Kind != "hot" || s.Standby.Checkpoint >= all[first].Seq) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%w: it is %s, %s", errNoStandby, s.Standby.Kind, s.Standby.Reason)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// is reports whether the standby is of the kind asked for, or, where that is
// auto, there has been one for a while: it may get better at first.
func (s standbyState) is(kind string) bool {
	if kind == "auto" {
		return s.Kind == "hot" || s.Kind == "warm" && time.Since(s.Since) > time.Second
	}
	return s.Kind == kind
}

// standbysUsed counts the copies by the kind of standby that they were made of.
func (c *container) standbysUsed(ctx context.Context) (map[string]int, error) {
	text, err := c.runtime.command(ctx, "episodes", "show", "--format", "json", c.id)
	if err != nil {
		return nil, err
	}
	var episodes []struct {
		Attempts []struct{ Standby string }
	}
	if err := json.Unmarshal(text, &episodes); err != nil {
		return nil, fmt.Errorf("read episodes: %w", err)
	}
	used := map[string]int{}
	for _, e := range episodes {
		for _, a := range e.Attempts {
			if a.Standby != "" { // there is a copy
				used[a.Standby]++
			}
		}
	}
	return used, nil
}
